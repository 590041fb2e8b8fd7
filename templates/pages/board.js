"use strict";
(() => {
  const find = (selector, root = document) => root.querySelector(selector);
  const controls = find(".controls");
  controls.hidden = false;

  // Large type, by an address that can be kept: index.html?projector
  if (new URLSearchParams(location.search).has("projector")) {
    document.documentElement.classList.add("projector");
    Object.assign(find("a", controls), { href: "?", textContent: "Usual size" });
  }

  const pause = find("button", controls);
  if (!pause) return; // a board that is done
  const output = find("output", controls);
  const every = 30_000;
  let paused = false;
  let touched = -Infinity;
  const announce = (text) => { if (output.textContent !== text) output.textContent = text; };
  pause.addEventListener("click", () => {
    paused = !paused;
    pause.textContent = paused ? "Resume updates" : "Pause updates";
    touched = -Infinity;
    checkForNewerBoard();
  });
  // Whoever is reading or choosing something now is not disturbed.
  for (const kind of ["keydown", "pointerdown", "wheel", "touchmove"]) {
    addEventListener(kind, () => { touched = performance.now(); }, { passive: true });
  }

  const folds = () => [...document.querySelectorAll("details")];
  const named = (fold) => find("h3", fold).textContent;
  const opened = () => folds().filter((fold) => fold.open).map(named);
  const open = (names) => folds().forEach((fold) => { fold.open = names.includes(named(fold)); });

  // A browser gives no page of the file system another one's text, so there the page is loaded again.
  const reload = () => {
    history.replaceState({ open: opened() }, "");
    location.reload();
  };
  if (history.state && history.state.open) open(history.state.open);

  const replace = (next) => {
    const names = opened();
    const [left, top] = [scrollX, scrollY];
    find("main").replaceWith(find("main", next));
    open(names);
    scrollTo({ left, top, behavior: "instant" });
    announce(`The board has changed: ${find("#summary p").textContent}`);
  };

  const checkForNewerBoard = async () => {
    const now = performance.now();
    if (paused || document.hidden || now - touched < every) return;
    if (location.protocol === "file:") {
      if (now >= every) reload();
      return;
    }
    try {
      const answer = await fetch(location.href, { cache: "no-store", signal: AbortSignal.timeout(every / 2) });
      const next = new DOMParser().parseFromString(answer.ok ? await answer.text() : "", "text/html");
      if (!find("#board", next)) throw new Error("not a board");
      if (find("footer", next).textContent !== find("footer").textContent) return reload(); // another version's
      if (find("#updated time", next).dateTime === find("#updated time").dateTime) return announce("");
      if (paused) return;
      find("#summary").replaceWith(find("#summary", next));
      if (find("main", next).textContent !== find("main").textContent) replace(next);
    } catch {
      announce("A newer board can't be read now; this page goes on trying.");
    }
  };
  setInterval(checkForNewerBoard, every);
  document.addEventListener("visibilitychange", checkForNewerBoard);
})();
