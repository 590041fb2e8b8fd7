// The dataset as the page knows it: its images, the findings and predictions about them, and the queues to review.

const LABEL = "label"; // the question whether a label is right, as the decisions' reasons name it

export class Dataset {
  classes = [];
  splits = [];
  images = [];
  queues = [];
  numbers = {}; // of the parts that the server has sent
  parts = {};

  // Store the parts that the server sent, except outdated ones of a slower answer; returns the names of those stored.
  take(sent) {
    const parts = Object.fromEntries(Object.entries(sent).filter(([name, { number }]) => number > (this.numbers[name] ?? 0)));
    for (const [name, { number, data }] of Object.entries(parts)) {
      this.numbers[name] = number;
      this.parts[name] = data;
    }
    if (parts.images) this.#takeImages();
    if (parts.images || parts.decisions) this.#takeDecisions();
    if (parts.images || parts.suspicions || parts.predictions) this.#takeGuesses();
    if (Object.keys(parts).length) this.makeQueues();
    return Object.keys(parts);
  }

  #takeImages() {
    const { classes, splits, files } = this.parts.images;
    Object.assign(this, { classes, splits });
    this.images = files.map(([key, path, split, label, error]) => ({
      key, path, split, label, error, name: path.slice(path.lastIndexOf("/") + 1), decisions: [], later: false,
      suspicion: null, prediction: null,
    }));
    this.byPath = new Map(this.images.map((image) => [image.path, image]));
  }

  #takeDecisions() {
    const { rows, later } = this.parts.decisions;
    const postponed = new Set(later);
    for (const image of this.images) {
      image.decisions = rows[image.path] ?? [];
      image.later = postponed.has(image.path);
    }
  }

  #takeGuesses() {
    const suspicions = new Map((this.parts.suspicions?.rows ?? []).map(([path, label, words]) => [path, { label, words }]));
    const predictions = this.parts.predictions?.rows ?? {};
    for (const image of this.images) {
      image.suspicion = suspicions.get(image.path) ?? null;
      const [label, probability] = predictions[image.path] ?? [];
      image.prediction = label === undefined ? null : { label, probability };
    }
  }

  // Sort the images into queues, after any change.
  makeQueues() {
    const { findings, suspicions, predictions } = this.parts;
    const present = (paths) => paths.map((path) => this.byPath.get(path)).filter(Boolean);
    const queue = (id, title, values) => ({ id, title, why: "", question: "", severity: "", groups: null, images: [], ...values });
    this.queues = [queue("all", "All images", { images: this.images })];
    if (suspicions) {
      this.queues.push(queue("suspicions", "Suspicious labels", {
        why: suspicions.why, question: LABEL, severity: "warning",
        images: present(suspicions.rows.map(([path]) => path)),
      }));
    }
    for (const { rule, title, severity, why, differ, findings: found } of findings ?? []) {
      const groups = found.map(({ message, paths }) => ({ title: message, images: present(paths), differ }))
        .filter(({ images }) => images.length > (differ ? 1 : 0));
      if (!groups.length) continue;
      this.queues.push(queue(rule, title, {
        why, question: rule, severity, groups: differ ? groups : null,
        images: [...new Set(groups.flatMap(({ images }) => images))],
      }));
    }
    if (predictions) {
      const misclassified = this.images.filter(({ label, prediction }) => prediction && prediction.label !== label);
      this.queues.push(queue("predictions", "Model predicts another class", {
        why: `What the model of the preflight of ${predictions.name} predicts, the surest first.`, question: LABEL,
        images: misclassified.sort((one, other) => other.prediction.probability - one.prediction.probability),
      }));
    }
    this.queues.push(queue("decided", "Decided", { images: this.images.filter(({ decisions }) => decisions.length) }));
    this.queues.push(queue("later", "Later", { images: this.images.filter(({ later }) => later) }));
  }

  // How many images of a queue are left to be decided; of grouped ones, how many groups.
  left({ groups, images }) {
    return groups ? groups.filter((group) => !isResolved(group)).length : images.filter((image) => !isDecided(image)).length;
  }

  // The class that an image most likely has instead of its label; empty if nothing suggests that the label is wrong. A model
  // makes many mistakes, so what it predicts counts only in the queue of its predictions.
  likely(image, group) {
    const others = group.differ === "label" && !isResolved(group) ? group.images.map((other) => after(other).label) : [];
    const guesses = [...others, image.suspicion?.label, group.predicted && image.prediction.label];
    return guesses.find((label) => label && label !== image.label && this.classes.includes(label)) ?? "";
  }
}

export const isDecided = (image) => image.decisions.length > 0;

// An image's label and split once its decisions are carried out, and whether it is set aside.
export function after({ label, split, decisions }) {
  const state = { label, split, aside: false };
  for (const [action, value] of decisions) {
    if (action === "relabel") state.label = value;
    if (action === "move") state.split = value;
    if (action === "set-aside") state.aside = true;
  }
  return state;
}

// Whether nothing is left to decide in a group of copies.
export function isResolved({ images, differ }) {
  if (images.every(isDecided)) return true;
  const left = images.map(after).filter(({ aside }) => !aside);
  const values = differ === "copy" ? left : new Set(left.map((state) => state[differ]));
  return (values.size ?? values.length) <= 1;
}

// Apply an action to an image as the server will, to show it at once.
export function decide(image, action, value) {
  const kept = {
    relabel: ["move"], correct: ["move"], move: ["relabel", "correct"], "set-aside": [], clear: [],
  }[action];
  if (kept === undefined) {
    image.later = action === "later" || image.later;
    return;
  }
  image.later = false;
  image.decisions = image.decisions.filter(([each]) => kept.includes(each));
  if (action === "relabel" && value === image.label) image.decisions.push(["correct", ""]);
  else if (action !== "clear") image.decisions.push([action, value]);
}

export function words([action, value]) {
  return { relabel: `→ ${value}`, move: `→ ${value}`, "set-aside": "set aside", correct: "correct" }[action];
}
