"use strict";
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const element = (name, properties = {}) => Object.assign(document.createElement(name), properties);
  const cases = all(".case");

  // Filter and sort. Groups and sections without a visible image are hidden; folded ones with a match open.
  const tools = document.querySelector(".tools");
  if (tools) {
    tools.hidden = false;
    tools.addEventListener("submit", (event) => event.preventDefault());
    const places = new Map(cases.map((item, place) => [item, place]));
    const field = (name) => (tools.elements[name] ? tools.elements[name].value : "");
    const shows = (item) =>
      item.dataset.path.toLowerCase().includes(field("search").trim().toLowerCase()) &&
      (!field("split") || item.dataset.split === field("split")) &&
      (!field("label") || item.dataset.label === field("label"));
    const compare = (one, other) =>
      field("order") === "path" ? one.dataset.path.localeCompare(other.dataset.path) : places.get(one) - places.get(other);
    const update = () => {
      const filtering = field("search") || field("split") || field("label");
      cases.forEach((item) => { item.hidden = !shows(item); });
      all(".cases").forEach((list) => list.append(...[...list.children].sort(compare)));
      all(".group").forEach((group) => {
        const visible = group.querySelector(".case:not([hidden])");
        group.hidden = filtering && !visible;
        if (filtering && visible && group.tagName === "DETAILS") group.open = true;
      });
      const count = cases.filter((item) => !item.hidden).length;
      tools.querySelector("output").textContent =
        filtering ? `${count} of ${cases.length} images` : `${cases.length} images`;
    };
    tools.addEventListener("input", update);
    update();
  }

  // Copy a path.
  const copy = async (text) => {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const area = element("textarea", { value: text });
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
  };
  cases.forEach((item) => {
    const button = element("button", { type: "button", textContent: "Copy path", className: "copy" });
    button.addEventListener("click", async () => {
      await copy(item.dataset.path);
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy path"; }, 1500);
    });
    item.append(button);
  });

  // Enlarge pictures; the arrow keys go on to the next.
  const dialog = element("dialog", { className: "enlarged" });
  document.body.append(dialog);
  let current = -1;
  const pictured = () => cases.filter((item) => !item.hidden && item.querySelector("img"));
  const show = (place) => {
    const shown = pictured();
    if (!shown.length) return;
    current = (place + shown.length) % shown.length;
    const item = shown[current];
    const pair = element("div", { className: "pair" });
    all("img", item).forEach((image) => pair.append(image.cloneNode()));
    const close = element("button", { type: "button", textContent: "Close" });
    close.addEventListener("click", () => dialog.close());
    const words = element("p", { textContent: item.querySelector("p") ? item.querySelector("p").textContent : "" });
    const path = element("p", { className: "path", textContent: item.dataset.path });
    dialog.replaceChildren(pair, words, path, close);
    dialog.setAttribute("aria-label", item.dataset.path);
    if (!dialog.open) dialog.showModal();
  };
  all(".case img").forEach((image) => {
    const item = image.closest(".case");
    const button = element("button", { type: "button", className: "enlarge" });
    button.setAttribute("aria-label", `Enlarge ${item.dataset.path}`);
    image.replaceWith(button);
    button.append(image);
    button.addEventListener("click", () => show(pictured().indexOf(item)));
  });
  dialog.addEventListener("keydown", (event) => {
    if (event.key === "ArrowRight") show(current + 1);
    if (event.key === "ArrowLeft") show(current - 1);
  });

  // A link to something in a folded group opens the group.
  const reveal = () => {
    const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target) return;
    for (let fold = target.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
    if (target.querySelector(":scope > details")) target.querySelector(":scope > details").open = true;
    target.scrollIntoView();
  };
  addEventListener("hashchange", reveal);
  reveal();

  // What is folded on the screen is read on paper.
  addEventListener("beforeprint", () => all("details").forEach((fold) => { fold.open = true; }));
})();
