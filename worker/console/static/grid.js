// A grid that holds only the tiles that can be seen, however many assets there are.

import { h } from './dom.js';

const GAP = 16;
const CAPTION = 54; // pixels below the picture; console.css has the same
const OVERSCAN = 2; // rows above and below

/**
 * @param {object} options
 * @param {function(): string[]} options.ids all ids, in order
 * @param {function(HTMLElement, string)} options.paint draws an asset into a tile
 * @param {function()} options.more asks for further assets, as the end comes near
 */
export class Grid {
  constructor({ ids, paint, more }) {
    Object.assign(this, { ids, paint, more });
    this.element = h('div.grid', { role: 'list', aria: { label: 'Assets' }, on: { keydown: (event) => this.#key(event), focusin: (event) => this.#focus(event) } });
    this.tiles = new Map();
    this.spare = [];
    this.current = 0; // the tile that Tab reaches
    this.scheduled = false;
    this.onScroll = () => this.schedule();
    addEventListener('scroll', this.onScroll, { passive: true });
    this.observer = new ResizeObserver(() => this.schedule());
    this.observer.observe(this.element);
  }

  destroy() {
    removeEventListener('scroll', this.onScroll);
    this.observer.disconnect();
  }

  /** Draws with the next frame; many changes are one drawing. */
  schedule() {
    if (this.scheduled) return;
    this.scheduled = true;
    requestAnimationFrame(() => {
      this.scheduled = false;
      if (this.element.isConnected) this.#draw();
    });
  }

  /** An asset has changed in place. */
  repaint(id) {
    const tile = this.tiles.get(id);
    if (tile) this.paint(tile.firstChild, id);
  }

  #layout() {
    const width = this.element.clientWidth;
    const wanted = width < 480 ? 150 : 220;
    const gap = width < 480 ? 12 : GAP;
    const columns = Math.max(2, Math.floor((width + gap) / (wanted + gap)));
    const tile = Math.floor((width - gap * (columns - 1)) / columns);
    const height = Math.round(tile * 0.75) + CAPTION;
    return { columns, tile, height, gap, row: height + gap };
  }

  #draw() {
    const ids = this.ids();
    const layout = this.#layout();
    this.layout = layout;
    const rows = Math.ceil(ids.length / layout.columns);
    this.element.style.height = `${Math.max(0, rows * layout.row - layout.gap)}px`;
    const top = -this.element.getBoundingClientRect().top;
    const first = Math.max(0, Math.floor(top / layout.row) - OVERSCAN);
    const last = Math.min(rows, Math.ceil((top + innerHeight) / layout.row) + OVERSCAN);
    const from = first * layout.columns;
    const shown = ids.slice(from, last * layout.columns);
    const keep = new Set(shown);
    // The focused picture moves when new ones come before it; arrow keys continue from its new place.
    const focused = [...this.tiles].find(([, tile]) => tile.contains(document.activeElement));
    if (focused) this.current = Math.max(0, ids.indexOf(focused[0]));
    for (const [id, tile] of this.tiles) {
      if (keep.has(id) || tile.contains(document.activeElement)) continue;
      tile.remove();
      this.tiles.delete(id);
      this.spare.push(tile);
    }
    let before = null;
    shown.forEach((id, offset) => {
      const index = from + offset;
      let tile = this.tiles.get(id);
      if (!tile) {
        tile = this.spare.pop() ?? h('div.tile', { role: 'listitem' }, h('a'));
        this.tiles.set(id, tile);
        this.paint(tile.firstChild, id);
      }
      // Read in the order in which it is seen.
      if (tile.previousSibling !== before || !tile.isConnected) {
        if (before) before.after(tile);
        else this.element.prepend(tile);
      }
      before = tile;
      this.#place(tile, index, ids.length, layout);
    });
    this.spare.length = Math.min(this.spare.length, 60);
    if (last >= rows - 6) this.more();
  }

  #place(tile, index, total, { columns, tile: width, height, gap, row }) {
    const place = `${index}/${total}/${width}`;
    if (tile.dataset.place === place) return;
    tile.dataset.place = place;
    tile.dataset.index = index;
    const style = tile.style;
    style.width = `${width}px`;
    style.height = `${height}px`;
    style.translate = `${(index % columns) * (width + gap)}px ${Math.floor(index / columns) * row}px`;
    tile.firstChild.tabIndex = index === this.current ? 0 : -1;
    tile.setAttribute('aria-posinset', index + 1);
    tile.setAttribute('aria-setsize', total);
  }

  #focus(event) {
    const tile = event.target.closest('.tile');
    if (tile) this.#choose(Number(tile.dataset.index));
  }

  #choose(index) {
    this.current = index;
    for (const tile of this.tiles.values()) tile.firstChild.tabIndex = Number(tile.dataset.index) === index ? 0 : -1;
  }

  #key(event) {
    const { columns, row } = this.layout ?? this.#layout();
    const page = columns * Math.max(1, Math.floor(innerHeight / row) - 1);
    const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity }[event.key];
    if (step === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    const total = this.ids().length;
    const index = Math.min(total - 1, Math.max(0, this.current + step));
    event.preventDefault();
    this.#choose(index);
    this.#reveal(index);
    this.#draw();
    this.tiles.get(this.ids()[index])?.firstChild.focus({ preventScroll: true });
  }

  #reveal(index) {
    const { columns, row, height } = this.layout;
    const top = this.element.getBoundingClientRect().top + Math.floor(index / columns) * row;
    const bar = 80;
    if (top < bar) scrollBy(0, top - bar);
    else if (top + height > innerHeight - GAP) scrollBy(0, top + height - innerHeight + GAP);
  }
}
