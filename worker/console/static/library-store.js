// The assets that are shown: pages of the list, and changes as they happen.

import { call } from './api.js';

const PAGE = 100;
const ON_THEIR_WAY = ['uploaded', 'processing'];

/**
 * @fires LibraryStore#change when the order or the number of assets changed
 * @fires LibraryStore#asset with the id of an asset that changed in place
 */
export class LibraryStore extends EventTarget {
  constructor() {
    super();
    this.assets = new Map();
    this.ids = [];
    this.filter = {};
    this.previews = new Map(); // object URLs of pictures that this page has uploaded, by asset
    this.progress = new Map(); // share uploaded, 0 to 1, by asset
    this.reset();
  }

  reset() {
    this.assets.clear();
    this.ids = [];
    this.cursor = null;
    this.ended = false;
    this.error = null;
    this.generation = (this.generation ?? 0) + 1;
    this.loading = null;
  }

  /** Shows what fits the filter: `status`, `tag`, `owner`, `text` (in the file's name). */
  show(filter) {
    this.filter = filter;
    this.reset();
    const loading = this.more(); // first: an empty list that is being loaded is not an empty library
    this.#changed();
    return loading;
  }

  /** Loads the next page, unless it is loading or there is none. After an error the user must ask for it. */
  more({ again = false } = {}) {
    if (this.ended || (this.error && !again)) return Promise.resolve();
    this.loading ??= this.#load(this.generation);
    return this.loading;
  }

  async #load(generation) {
    const { status, tag, owner, text } = this.filter;
    try {
      const page = await call('GET', '/assets', {
        query: { status, tag, owner, key: text ? `*${text.replaceAll('*', '')}*` : undefined, limit: PAGE, cursor: this.cursor },
      });
      if (generation !== this.generation) return;
      for (const asset of page.assets) {
        if (!this.assets.has(asset.id)) this.ids.push(asset.id);
        this.assets.set(asset.id, asset);
      }
      this.cursor = page.cursor;
      this.ended = !page.cursor;
      this.error = null;
    } catch (error) {
      if (generation !== this.generation) return;
      this.error = error;
    } finally {
      if (generation === this.generation) {
        this.loading = null;
        this.#changed();
      }
    }
  }

  /** What the filter says of an asset that has come or changed. */
  fits(asset) {
    const { status, tag, owner, text } = this.filter;
    return (!status || asset.status === status) && (!tag || asset.tags.includes(tag))
      && (!owner || asset.owner === owner) && (!text || asset.original.key.includes(text));
  }

  /** Takes changed assets in; new ones go first. */
  apply(changed) {
    let moved = false;
    for (const asset of changed) {
      const known = this.assets.get(asset.id);
      if (known && known.revision > asset.revision) continue;
      if (!this.fits(asset)) {
        moved = this.#drop(asset.id) || moved;
      } else {
        this.assets.set(asset.id, asset);
        if (known) this.dispatchEvent(new CustomEvent('asset', { detail: asset.id }));
        else {
          this.ids.unshift(asset.id);
          moved = true;
        }
      }
    }
    if (moved) this.#changed();
  }

  /** The file of an asset has arrived; its verdict comes later. */
  arrived(id) {
    const asset = this.assets.get(id);
    if (asset?.status === 'waiting') this.apply([{ ...asset, status: 'uploaded' }]);
  }

  remove(id) {
    if (this.#drop(id)) this.#changed();
  }

  /** Whether ingest or a job still works on an asset that is shown. */
  get busy() { return [...this.assets.values()].some((asset) => ON_THEIR_WAY.includes(asset.status)); }

  /** How far the upload of an asset is; shown on its tile. */
  setProgress(id, share) {
    if (share === null) this.progress.delete(id);
    else this.progress.set(id, share);
    if (this.assets.has(id)) this.dispatchEvent(new CustomEvent('asset', { detail: id }));
  }

  #drop(id) {
    if (!this.assets.delete(id)) return false;
    this.ids.splice(this.ids.indexOf(id), 1);
    return true;
  }

  #changed() {
    this.dispatchEvent(new Event('change'));
  }
}
