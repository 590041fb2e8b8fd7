// A listbox of many images, of which only the visible ones are in the document.

// Sizes in pixels: what a tile has beside its picture, and the picture. Copies are compared, so they are larger.
const FRAME = { width: 20, height: 52 };
const SIDES = { plain: 112, narrow: 102, copies: 176, narrowCopies: 160 };
const NARROW = 520;
const HEAD = 36;
const EDGE = 8;

export class Grid {
  #items = []; // {image, group}, in their order
  #heads = []; // {title, top}
  #places = []; // of each item: {left, top}
  #tiles = new Map(); // drawn ones, by their number
  #anchor = 0;
  #height = 0; // of a tile
  selected = new Set(); // of items' numbers
  current = -1;

  // `draw` fills a tile for an item; `changed` is called when another item is current or others are selected.
  constructor(element, { draw, changed, open }) {
    this.element = element;
    this.draw = draw;
    this.changed = changed;
    this.canvas = element.appendChild(document.createElement("div"));
    this.canvas.className = "canvas";
    this.canvas.setAttribute("role", "presentation");
    let waiting = false;
    element.addEventListener("scroll", () => {
      if (!waiting) requestAnimationFrame(() => { waiting = false; this.#render({ anew: false }); });
      waiting = true;
    });
    new ResizeObserver(() => { this.#layOut(); this.reveal(); }).observe(element);
    element.addEventListener("click", (event) => this.#clicked(event));
    element.addEventListener("dblclick", (event) => { if (event.target.closest(".tile")) open(); });
  }

  get items() { return this.#items; }
  get item() { return this.#items[this.current] ?? null; }
  get targets() { return [...this.selected].sort((one, other) => one - other).map((number) => this.#items[number]); }

  // Show groups of images, [{title, images, ...}], and keep the current item and the selection as far as they are still there.
  show(groups) {
    const name = ({ image, group }) => `${image.path}\n${group?.title ?? ""}`;
    const before = { current: this.item && name(this.item), place: this.current, selected: new Set(this.targets.map(name)) };
    this.#items = groups.flatMap((group) => group.images.map((image) => ({ image, group })));
    this.groups = groups;
    const found = this.#items.findIndex((item) => name(item) === before.current);
    this.current = found >= 0 ? found : Math.min(Math.max(before.place, 0), this.#items.length - 1);
    this.selected = new Set(this.#items.flatMap((item, number) => (before.selected.has(name(item)) ? [number] : [])));
    if (!this.selected.size && this.current >= 0) this.selected.add(this.current);
    this.#anchor = this.current;
    this.#layOut();
    this.changed();
  }

  // Redraw the visible tiles.
  refresh() {
    for (const [number, tile] of this.#tiles) this.#fill(tile, number);
  }

  // Make an item current. `range` selects all from where a range began, `keep` leaves the selection as it is.
  go(number, { range = false, keep = false } = {}) {
    if (!this.#items.length) return;
    this.current = Math.min(Math.max(number, 0), this.#items.length - 1);
    if (range) {
      const [first, last] = [this.#anchor, this.current].sort((one, other) => one - other);
      this.selected = new Set(Array.from({ length: last - first + 1 }, (_, step) => first + step));
    } else if (!keep) {
      this.selected = new Set([this.current]);
      this.#anchor = this.current;
    }
    this.reveal();
    this.changed();
  }

  toggle() {
    if (!this.selected.delete(this.current)) this.selected.add(this.current);
    this.#anchor = this.current;
    this.#render();
    this.changed();
  }

  selectAll() {
    this.selected = new Set(this.#items.keys());
    this.#render();
    this.changed();
  }

  // Handle the keys of a listbox; returns whether it was one of them.
  key(event) {
    const jump = {
      ArrowLeft: () => this.current - 1, ArrowRight: () => this.current + 1,
      ArrowUp: () => this.#vertical(-1), ArrowDown: () => this.#vertical(1),
      PageUp: () => this.#vertical(-this.#page), PageDown: () => this.#vertical(this.#page),
      Home: () => 0, End: () => this.#items.length - 1,
    }[event.key];
    if (!jump) return false;
    this.go(jump(), { range: event.shiftKey, keep: event.ctrlKey || event.metaKey });
    return true;
  }

  get #page() { return Math.max(1, Math.floor(this.element.clientHeight / this.#height) - 1); }

  // The nearest item so many rows away.
  #vertical(rows) {
    const here = this.#places[this.current];
    if (!here) return 0;
    const tops = [...new Set(this.#places.map(({ top }) => top))];
    const top = tops[Math.min(Math.max(tops.indexOf(here.top) + rows, 0), tops.length - 1)];
    let best = this.current;
    let least = Infinity;
    this.#places.forEach((place, number) => {
      const distance = place.top === top ? Math.abs(place.left - here.left) : Infinity;
      if (distance < least) [best, least] = [number, distance];
    });
    return best;
  }

  #layOut() {
    const room = this.element.clientWidth - 2 * EDGE;
    const copies = Boolean(this.groups?.[0]?.title);
    const narrow = room < NARROW;
    const side = narrow ? (copies ? SIDES.narrowCopies : SIDES.narrow) : (copies ? SIDES.copies : SIDES.plain);
    const width = side + FRAME.width;
    const columns = Math.max(1, Math.floor(room / width));
    this.#height = side + FRAME.height;
    this.canvas.style.setProperty("--side", `${side}px`);
    this.#heads = [];
    this.#places = [];
    let top = EDGE;
    for (const { title, images } of this.groups ?? []) {
      if (title) {
        this.#heads.push({ title, top });
        top += HEAD;
      }
      images.forEach((_, number) => {
        const column = number % columns;
        if (number && !column) top += this.#height;
        // Copies stand close together, side by side; other images fill the width.
        this.#places.push({ left: EDGE + column * (title ? width : room / columns), top });
      });
      if (images.length) top += this.#height;
    }
    this.canvas.style.height = `${top + EDGE}px`;
    this.#render();
  }

  reveal() {
    const place = this.#places[this.current];
    if (!place) return;
    const head = this.groups[0]?.title ? HEAD : 0;
    const { scrollTop, clientHeight } = this.element;
    if (place.top - head - EDGE < scrollTop) this.element.scrollTop = place.top - head - EDGE;
    else if (place.top + this.#height + EDGE > scrollTop + clientHeight) {
      this.element.scrollTop = place.top + this.#height + EDGE - clientHeight;
    }
    this.#render();
  }

  // The first item at or below a height, by binary search.
  #firstBelow(top) {
    let [low, high] = [0, this.#places.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#places[middle].top < top) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #render({ anew = true } = {}) {
    const { scrollTop, clientHeight } = this.element;
    const from = this.#firstBelow(scrollTop - 2 * this.#height);
    const to = this.#firstBelow(scrollTop + clientHeight + this.#height);
    const wanted = new Set(Array.from({ length: to - from }, (_, step) => from + step));
    if (this.current >= 0) wanted.add(this.current); // so that it can be the active descendant
    for (const [number, tile] of this.#tiles) {
      if (!wanted.has(number)) {
        tile.querySelector("img").removeAttribute("src"); // otherwise the visible pictures wait until it is loaded
        tile.remove();
        this.#tiles.delete(number);
      }
    }
    for (const number of wanted) {
      let tile = this.#tiles.get(number);
      if (tile && !anew) continue;
      if (!tile) {
        tile = document.createElement("div");
        tile.className = "tile";
        tile.id = `image-${number}`;
        tile.setAttribute("role", "option");
        this.#tiles.set(number, tile);
        this.canvas.append(tile);
      }
      this.#fill(tile, number);
    }
    this.#renderHeads(scrollTop, scrollTop + clientHeight);
    if (this.current >= 0) this.element.setAttribute("aria-activedescendant", `image-${this.current}`);
    else this.element.removeAttribute("aria-activedescendant");
  }

  #renderHeads(from, to) {
    this.canvas.querySelectorAll(".head").forEach((head) => head.remove());
    for (const { title, top } of this.#heads) {
      if (top + HEAD < from || top > to) continue;
      const head = document.createElement("div");
      head.className = "head";
      head.setAttribute("aria-hidden", "true"); // each tile's name says it
      head.textContent = title;
      head.style.transform = `translateY(${top}px)`;
      this.canvas.append(head);
    }
  }

  #fill(tile, number) {
    const { left, top } = this.#places[number];
    tile.style.transform = `translate(${left}px, ${top}px)`;
    tile.setAttribute("aria-selected", this.selected.has(number));
    tile.setAttribute("aria-posinset", number + 1);
    tile.setAttribute("aria-setsize", this.#items.length);
    tile.classList.toggle("current", number === this.current);
    this.draw(tile, this.#items[number]);
  }

  #clicked(event) {
    const tile = event.target.closest(".tile");
    if (!tile) return;
    const number = Number(tile.id.slice("image-".length));
    if (event.ctrlKey || event.metaKey) {
      this.go(number, { keep: true });
      this.toggle();
    } else {
      this.go(number, { range: event.shiftKey });
    }
  }
}
