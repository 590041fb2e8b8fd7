import { Dataset, after, decide, isDecided, isResolved, words } from "./dataset.js";
import { Grid } from "./grid.js";

const $ = (id) => document.getElementById(id);
const element = (name, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
};
const count = (number, noun) => `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
const percent = (share) => `${Math.round(100 * share)} %`;

const data = new Dataset();
const filters = $("filters").elements;
const automatic = $("automatic").querySelector("input");
const undos = [];
let queueId = "all";
let sending = Promise.resolve();
let unsent = 0; // decisions that are shown but not saved yet; the server's answers without them are ignored
let ended = false;
let progress = { task: "", done: 0, total: 0 };

// The loaded page does not need the token.
history.replaceState(null, "", location.pathname);

// Talking with the server ------------------------------------------------------------------------------------

async function post(address, body) {
  const answer = await fetch(address, {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
  });
  const reply = await answer.json();
  if (!answer.ok) throw new Error([reply.error, reply.action].filter(Boolean).join(" "));
  return reply;
}

async function poll() {
  if (unsent) return;
  let reply;
  try {
    const answer = await fetch(`state?${new URLSearchParams(data.numbers)}`);
    reply = await answer.json();
    if (!answer.ok) throw new Error(reply.error);
    if (unsent) return;
  } catch (error) {
    ended = true;
    showProblems([error instanceof TypeError
      ? "cldc review has ended. What you decided is saved; `cldc apply` carries it out."
      : error.message]);
    return;
  }
  ended = false;
  const before = new Set(data.images.map(({ path }) => path));
  const taken = data.take(reply.parts);
  if (taken.length) {
    if (taken.includes("images")) showImages(before);
    showQueues();
    if (taken.some((part) => part !== "decisions") || filters.undecided.checked || ["decided", "later"].includes(queueId)) showGrid();
    else refresh();
  }
  showProblems([...reply.problems, ...(data.parts.decisions?.problems ?? [])]);
  progress = reply.progress;
  showProgress();
}

function showProgress() {
  const { task, done, total } = progress;
  $("progress").textContent = unsent ? "Saving …" : task ? `${task}${total ? `: ${percent(done / total)}` : ""} …` : "";
}

async function keepPolling() {
  if (!document.hidden) await poll();
  setTimeout(keepPolling, ended ? 3000 : 1000);
}

// Showing ----------------------------------------------------------------------------------------------------

function showProblems(problems) {
  const shown = problems.map((problem) => element("p", { textContent: problem }));
  if ($("problems").textContent !== shown.map(({ textContent }) => textContent).join("")) $("problems").replaceChildren(...shown);
  $("problems").hidden = !problems.length;
}

let clearing;
function announce(text) {
  $("said").textContent = text;
  $("enlarged-said").textContent = $("enlarged").open ? text : "";
  clearTimeout(clearing);
  if (text) clearing = setTimeout(() => announce(""), 5000);
}

function showImages(before) {
  const { name, classes, splits, root } = data.parts.images;
  document.title = `Review ${name}`;
  $("title").textContent = `Review ${name}`;
  $("title").title = root;
  if (before.size) {
    const added = data.images.filter(({ path }) => !before.has(path)).length;
    const removed = before.size + added - data.images.length;
    const changes = [added && `${count(added, "image")} added`, removed && `${count(removed, "image")} removed`].filter(Boolean);
    announce(`The folder has changed: ${changes.join(", ") || "other content"}.`);
    return;
  }
  const labels = [...new Set([...classes, ...data.images.map(({ label }) => label)])];
  for (const [select, values] of [[filters.label, labels], [filters.split, splits], [filters.predicted, classes]]) {
    select.replaceChildren(element("option", { value: "", textContent: "all" }), ...values.map((value) => element("option", { textContent: value })));
  }
  showKeys();
}

function showQueues() {
  $("predicted-filter").hidden = !data.parts.predictions;
  $("saved").textContent = `Decisions are saved at once, in ${data.parts.decisions.file}.`;
  // Buttons are reused, so that none loses the focus.
  const known = new Map([...$("queues").children].map((entry) => [entry.dataset.queue, entry]));
  const entries = data.queues.map((queue) => {
    const entry = known.get(queue.id) ?? queueEntry(queue.id);
    const [button] = entry.children;
    const [title, badge] = button.children;
    const reviewing = !["all", "decided", "later"].includes(queue.id);
    const total = queue.groups?.length ?? queue.images.length;
    const left = reviewing ? data.left(queue) : total;
    title.textContent = queue.title;
    badge.className = `badge ${left && reviewing ? queue.severity : ""}`;
    badge.firstChild.textContent = left.toLocaleString("en");
    badge.lastChild.textContent = reviewing ? ` of ${total.toLocaleString("en")} left` : "";
    if (queue.id === queueId) button.setAttribute("aria-current", "true");
    else button.removeAttribute("aria-current");
    return entry;
  });
  const same = entries.length === known.size && entries.every((entry, place) => entry === $("queues").children[place]);
  if (!same) $("queues").replaceChildren(...entries);
}

function queueEntry(id) {
  const badge = element("span", {}, element("span"), element("span", { className: "hidden" }));
  const button = element("button", { type: "button" }, element("span"), badge);
  button.addEventListener("click", () => choose(id));
  const entry = element("li", {}, button);
  entry.dataset.queue = id;
  return entry;
}

function choose(id) {
  queueId = id;
  showQueues();
  showGrid();
  grid.go(0);
  grid.element.focus();
  document.querySelector("#queues [aria-current]").scrollIntoView({ block: "nearest", inline: "nearest" });
}

const queue = () => data.queues.find(({ id }) => id === queueId) ?? data.queues[0];

function shows(image) {
  return image.path.toLowerCase().includes(filters.search.value.trim().toLowerCase())
    && (!filters.label.value || image.label === filters.label.value)
    && (!filters.split.value || image.split === filters.split.value)
    && (!filters.predicted.value || image.prediction?.label === filters.predicted.value)
    && !(filters.undecided.checked && isDecided(image));
}

function showGrid() {
  const { id, title, why, groups, images } = queue();
  // If one copy of a group is shown, all are, since they can only be judged together.
  const shown = groups
    ? groups.filter((group) => group.images.some(shows) && !(filters.undecided.checked && isResolved(group)))
    : [{ title: "", images: images.filter(shows), predicted: id === "predictions" }];
  grid.show(shown);
  $("queue-title").textContent = title;
  $("queue-why").textContent = why;
  const items = grid.items.length;
  $("grid").hidden = !items;
  $("empty").hidden = Boolean(items);
  $("empty").textContent = images.length ? "No image matches the filter." : "There is no image here.";
}

function showCount() {
  const { groups, images } = queue();
  const total = new Set((groups ?? [{ images }]).flatMap((group) => group.images)).size;
  const items = grid.items.length;
  $("queue-count").textContent = [
    groups ? `${count(grid.groups.length, "group")} of copies, ${count(items, "image")}` : count(items, "image"),
    items < total && `of ${total.toLocaleString("en")}`,
    grid.selected.size > 1 && `${grid.selected.size.toLocaleString("en")} selected`,
  ].filter(Boolean).join(", ").replace(", of", " of");
}

function refresh() {
  grid.refresh();
  showPanel();
}

function drawTile(tile, { image, group }) {
  if (!tile.firstChild) {
    tile.append(element("img", { alt: "", draggable: false }), element("span", { className: "label" }), element("span", { className: "state" }), element("span", { className: "hidden" }));
    tile.firstChild.addEventListener("error", () => tile.classList.add("unshown"));
    tile.firstChild.addEventListener("load", () => tile.classList.remove("unshown"));
  }
  const [shown, label, state, spoken] = tile.children;
  setPicture(shown, image, "small");
  const likely = data.likely(image, group);
  label.replaceChildren(element("b", { textContent: image.label }), ` ${image.split}`);
  state.textContent = image.decisions.map(words).join(", ") || (image.later ? "later" : likely ? `${likely}?` : "");
  state.className = `state ${image.decisions.map(([action]) => action).join(" ") || (image.later ? "postponed" : "likely")}`;
  tile.classList.toggle("decided", isDecided(image));
  spoken.textContent = [
    isDecided(image) ? "decided" : likely && "the likely class", image.name, group.title, image.error && `can't be read: ${image.error}`,
  ].filter(Boolean).join(", ");
}

// The facts about an image, as paragraphs.
function factsOf({ image, group }) {
  const path = element("p", { className: "path", textContent: image.path });
  const copy = element("button", { type: "button", textContent: "Copy path", className: "small" });
  copy.addEventListener("click", async () => {
    await navigator.clipboard.writeText(image.path);
    announce("Path copied.");
  });
  path.append(" ", copy);
  const state = after(image);
  const decided = image.decisions.map(words).join(", ");
  const others = data.queues.filter(({ id, severity, images }) => severity && id !== queueId && images.includes(image));
  return [
    element("p", { className: "labels" }, element("b", { textContent: image.label }), ` in ${image.split}`,
      ...(decided ? [" ", element("span", { className: `state ${state.aside ? "set-aside" : image.decisions[0][0]}`, textContent: decided })] : []),
      ...(image.later ? [" ", element("span", { className: "state postponed", textContent: "later" })] : [])),
    image.error && element("p", { className: "error", textContent: `Can't be read: ${image.error}.` }),
    group.title && element("p", { textContent: group.title }),
    image.suspicion && element("p", { textContent: image.suspicion.words }),
    image.prediction && element("p", { textContent: `The model predicts ${image.prediction.label} (${percent(image.prediction.probability)}).` }),
    others.length && element("p", { className: "soft", textContent: `Also: ${others.map(({ title }) => title).join(", ")}.` }),
    path,
  ].filter(Boolean);
}

function showPanel() {
  showCount();
  const { item } = grid;
  $("panel").hidden = !item;
  if (!item) {
    $("enlarged").close();
    return;
  }
  const { image } = item;
  setPicture($("panel-picture"), image, "large", described(image));
  setSeen($("panel-seen"), image);
  const many = grid.selected.size;
  $("facts").replaceChildren(...(many > 1
    ? [element("p", { className: "labels" }, element("b", { textContent: count(many, "image") }), " selected"),
      element("p", { className: "soft", textContent: "Your decision holds for all of them." })]
    : factsOf(item)));
  $("actions").replaceChildren(...actionButtons(item));
  if ($("enlarged").open) showEnlarged();
}

const described = ({ label, name }) => `${label}, ${name}`;

// A picture beside the text that describes it needs no text of its own.
function setPicture(shown, image, size, alt = "") {
  const address = `picture/${size}/${image.key}`;
  if (shown.getAttribute("src") !== address) Object.assign(shown, { src: address, alt });
}

function setSeen(figure, image) {
  const [height, width] = data.parts.images.seen;
  setPicture(figure.querySelector("img"), image, "seen");
  figure.querySelector("figcaption").textContent = `What the model sees: ${width} x ${height}`;
}

// Deciding ---------------------------------------------------------------------------------------------------

const otherSplit = ({ split }) => data.splits[(data.splits.indexOf(split) + 1) % data.splits.length];
const digit = (number) => (number < 10 ? String((number + 1) % 10) : "");

// Everything that can be decided about an item: {key, text, action, value}; the likely class comes first.
function choices({ image, group }) {
  const likely = data.likely(image, group);
  const classes = new Set(subjects().map((item) => data.likely(item.image, item.group)).filter(Boolean));
  const found = [];
  if (likely) found.push({ key: "a", text: classes.size > 1 ? "each likely class" : likely, action: "relabel", value: likely, likely: true });
  data.classes.forEach((label, number) => found.push({ key: digit(number), text: label, action: "relabel", value: label }));
  found.push(
    { key: "k", text: "Correct as is", action: "correct", value: "" },
    { key: "x", text: "Set aside", action: "set-aside", value: "" },
    ...(data.splits.length > 1 ? [{ key: "m", text: `Move to ${otherSplit(image)}`, action: "move", value: otherSplit(image) }] : []),
    { key: "l", text: "Later", action: "later", value: "" },
    { key: "Backspace", shown: "⌫", text: "No decision", action: "clear", value: "" },
  );
  return found;
}

function actionButtons(item) {
  const classes = element("div", { className: "row classes", role: "group", ariaLabel: "Label as" }, element("span", { className: "soft", textContent: "Label as" }));
  const others = element("div", { className: "row" });
  for (const choice of choices(item)) {
    const { key, shown, text, action, value, likely } = choice;
    const button = element("button", { type: "button", className: likely ? "likely" : "" }, text, " ", element("kbd", { textContent: shown ?? key.toUpperCase() }));
    if (likely) button.append(element("span", { className: "hidden", textContent: " likely" }));
    button.setAttribute("aria-keyshortcuts", key);
    if (action === "relabel" && value === after(item.image).label) button.setAttribute("aria-pressed", "true");
    button.addEventListener("click", () => { act(choice); focusBack(); });
    (action === "relabel" ? classes : others).append(button);
  }
  const undo = element("button", { type: "button", disabled: !undos.length }, "Undo ", element("kbd", { textContent: "U" }));
  undo.addEventListener("click", () => { takeBack(); focusBack(); });
  others.append(undo);
  return [classes, others];
}

const focusBack = () => ($("enlarged").open ? $("enlarged") : grid.element).focus({ preventScroll: true });

// The items to decide about: the selected ones or, while enlarged, the image shown.
const subjects = () => ($("enlarged").open ? [grid.item] : grid.targets);

function act({ action, value, likely }) {
  const items = subjects();
  if (!items.length) return;
  // Each of several images gets its own likely class, or moves out of its own split. Of copies with two labels, relabelling
  // one leaves no likely class for the others.
  const byValue = new Map();
  const done = new Set();
  const undo = { item: items[0], before: [], numbers: [] };
  for (const { image, group } of items) {
    const each = likely ? data.likely(image, group) : action === "move" ? otherSplit(image) : value;
    if ((likely && !each) || done.has(image)) continue;
    undo.before.push([image.path, image.decisions, image.later]);
    decide(image, action, each);
    done.add(image);
    byValue.set(each, byValue.get(each) ?? []);
    byValue.get(each).push(image.key);
  }
  undos.push(undo);
  const reason = action === "correct" ? queue().question : "";
  for (const [each, keys] of byValue) {
    save("Not saved.", async () => {
      const { undo: number, skipped } = await post("decide", { action, value: each, reason, keys });
      if (number !== null) undo.numbers.push(number);
      if (skipped.length) announce(`${count(skipped.length, "image")} not decided. ${skipped[0]}`);
    });
  }
  data.makeQueues();
  const outcome = { relabel: byValue.size > 1 ? "labelled" : `labelled ${[...byValue.keys()]}`, correct: "correct as is", "set-aside": "set aside", move: "to the other split", later: "left for later", clear: "without a decision" }[action];
  announce(`${count(done.size, "image")} ${outcome}. ${data.left(queue()).toLocaleString("en")} left here.`);
  if (automatic.checked && action !== "clear") goOn(items.at(-1));
  showQueues();
  showProgress();
  refresh();
}

// Send a change that the page already shows, after all earlier ones.
function save(failure, send) {
  unsent += 1;
  sending = sending.then(async () => {
    try {
      await send();
    } catch (error) {
      announce(`${failure} ${error.message}`);
      data.numbers.decisions = 0; // show again what is really decided
    }
    unsent -= 1;
    showProgress();
    await poll();
  });
}

// Shown at once, like decisions; if the server can't undo, its next answer shows the actual decisions.
function takeBack() {
  const undo = undos.pop();
  if (!undo) {
    announce("There is nothing to undo.");
    return;
  }
  for (const [path, decisions, later] of undo.before) Object.assign(data.byPath.get(path) ?? {}, { decisions, later });
  save("Not undone.", async () => {
    for (const number of [...undo.numbers].reverse()) await post("undo", { number });
  });
  data.makeQueues();
  announce("Undone.");
  showQueues();
  showProgress();
  const { image, group } = undo.item;
  const number = grid.items.findIndex((item) => item.image.path === image.path && item.group.title === group.title);
  if (number >= 0) grid.go(number);
  refresh();
}

const isLeft = ({ image, group }) => !isDecided(image) && !image.later && !(group.differ && isResolved(group));

// Go to the next item after this one that is not decided.
function goOn(from) {
  const items = grid.items;
  const start = items.indexOf(from);
  for (let step = 1; step <= items.length; step += 1) {
    const number = (start + step) % items.length;
    if (isLeft(items[number])) {
      grid.go(number, { keep: $("enlarged").open && grid.selected.size > 1 });
      return;
    }
  }
  announce("Nothing is left to decide here.");
}

// Enlarged ---------------------------------------------------------------------------------------------------

function enlarge() {
  if (!grid.item) return;
  showEnlarged();
  $("enlarged").showModal();
  $("enlarged").focus();
}

function showEnlarged() {
  const { item } = grid;
  setPicture($("enlarged-picture"), item.image, "large", described(item.image));
  setSeen($("enlarged").querySelector("figure"), item.image);
  $("enlarged-title").textContent = item.image.name;
  $("enlarged-facts").replaceChildren(...factsOf(item));
  $("enlarged-actions").replaceChildren(...actionButtons(item));
}

// Goes through the selection if several are selected, else through all.
function step(by) {
  const among = grid.selected.size > 1 ? [...grid.selected].sort((one, other) => one - other) : [...grid.items.keys()];
  const place = among.indexOf(grid.current);
  grid.go(among[(place + by + among.length) % among.length], { keep: grid.selected.size > 1 });
}

// Keys -------------------------------------------------------------------------------------------------------

function neighbour(by) {
  const ids = data.queues.map(({ id }) => id);
  choose(ids[(ids.indexOf(queueId) + by + ids.length) % ids.length]);
}

const commands = [
  { key: "Enter", text: "Enlarge, or back to the grid", run: () => ($("enlarged").open ? $("enlarged").close() : enlarge()) },
  { key: "u", text: "Undo", run: takeBack },
  { key: "n", text: "Next image to decide", run: () => grid.item && goOn(grid.item) },
  { key: "]", text: "Next list", run: () => neighbour(1) },
  { key: "[", text: "Previous list", run: () => neighbour(-1) },
  { key: "/", text: "Search", run: () => filters.search.focus() },
  { key: "?", text: "All keys", run: () => $("help").showModal() },
];

function showKeys() {
  const rows = [
    ["A", "Label as the likely class, which stands under the image with a question mark"],
    ...data.classes.slice(0, 10).map((label, number) => [digit(number), `Label as ${label}`]),
    ["K", "Correct as is: this finding is not shown again"], ["X", "Set aside"], ["M", "Move to the other split"], ["L", "Later"],
    ["⌫", "No decision"], ["← ↑ ↓ →", "Move; with Shift select a range, with Ctrl keep what is selected"],
    ["Space", "Select or deselect"], ["Ctrl A", "Select all that is shown"], ["Esc", "Deselect, close"],
    ...commands.map(({ key, text }) => [key.length > 1 ? key : key.toUpperCase(), text]),
  ];
  $("keys").replaceChildren(...rows.map(([key, text]) => element("tr", {}, element("th", { scope: "row" }, element("kbd", { textContent: key })), element("td", { textContent: text }))));
}

document.addEventListener("keydown", (event) => {
  const { target, key } = event;
  const writing = target.matches("input:not([type=checkbox]), select, textarea");
  if (writing) {
    if (key === "Escape" || (key === "Enter" && target.type === "search")) {
      event.preventDefault();
      filter();
      grid.element.focus();
    }
    return;
  }
  const pressing = target.matches("button, summary, input") && (key === "Enter" || key === " ");
  if ($("help").open || pressing || event.altKey || event.isComposing || !data.parts.images) return;
  const enlarged = $("enlarged").open;
  let handled = true;
  if ((event.ctrlKey || event.metaKey) && key.toLowerCase() === "a" && !enlarged) grid.selectAll();
  else if ((event.ctrlKey || event.metaKey) && key.toLowerCase() === "z") takeBack();
  else if (enlarged && ["ArrowLeft", "ArrowUp"].includes(key)) step(-1);
  else if (enlarged && ["ArrowRight", "ArrowDown"].includes(key)) step(1);
  else if (!enlarged && grid.key(event)) handled = true;
  else if (event.ctrlKey || event.metaKey) handled = false;
  else if (key === " " && !enlarged) grid.toggle();
  else if (key === "Escape" && !enlarged) grid.go(grid.current);
  else {
    const wanted = key === "Delete" ? "x" : key.length === 1 ? key.toLowerCase() : key;
    const command = commands.find((each) => each.key === wanted);
    const choice = grid.item && choices(grid.item).find((each) => each.key === wanted);
    if (command && !(enlarged && ["]", "[", "/"].includes(wanted))) command.run();
    else if (choice) act(choice);
    else handled = false;
  }
  if (handled) event.preventDefault();
});

// Start ------------------------------------------------------------------------------------------------------

const grid = new Grid($("grid"), { draw: drawTile, changed: showPanel, open: enlarge });
let filtering;
function filter() {
  clearTimeout(filtering);
  showGrid();
}
$("filters").addEventListener("input", () => { clearTimeout(filtering); filtering = setTimeout(filter, 120); });
$("filters").addEventListener("submit", (event) => event.preventDefault());
$("enlarge").addEventListener("click", enlarge);
$("help-button").addEventListener("click", () => $("help").showModal());
document.querySelectorAll("[data-close]").forEach((button) => button.addEventListener("click", () => button.closest("dialog").close()));
document.querySelectorAll("[data-step]").forEach((button) => button.addEventListener("click", () => step(Number(button.dataset.step))));
$("enlarged").addEventListener("close", () => grid.element.focus());
addEventListener("beforeunload", (event) => { if (unsent) event.preventDefault(); });
document.addEventListener("visibilitychange", () => { if (!document.hidden) poll(); });
await keepPolling();
$("grid").focus({ preventScroll: true });
