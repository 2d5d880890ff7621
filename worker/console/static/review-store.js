// Open reviews by their deadline: for the page of reviews, and for the number in the navigation.

import { call } from './api.js';

const PAGE = 100;
const LOOKED_AT = 10_000; // milliseconds between two looks while the page of reviews is open,
const ELSEWHERE = 30_000; // and while another one is
const SOON = 400; // after a change of an asset, which comes before the list has it

const DETAIL = 60_000; // milliseconds for which a review that was loaded ahead counts as new

/** When it has to be decided; those without a deadline come last. */
const due = (review) => Date.parse(review.deadline) || Infinity;

/** @fires ReviewStore#change when a review came, changed or went, or when the list cannot be loaded */
export class ReviewStore extends EventTarget {
  /** @param {string} state of the reviews */
  constructor(state = 'open') {
    super();
    this.state = state;
    this.reviews = new Map();
    this.ids = [];
    this.cursor = null; // where the list continues; null: all of it is known
    this.further = false; // whether more than the first page was loaded
    this.loaded = false;
    this.error = null;
    this.shown = false; // whether a person looks at the page of reviews
    this.refused = false; // no such right, or an API without reviews
    this.over = new Set(); // decided, while an answer that still has them may be on its way
    this.ahead = new Map(); // reviews that were loaded before somebody asked, and when
  }

  /** Whether there are further reviews that the page has not asked for. */
  get ended() { return this.cursor === null; }

  get escalated() { return this.ids.filter((id) => this.reviews.get(id).escalated).length; }

  /** Looks for new reviews from now on. */
  watch() {
    const again = async () => {
      await this.refresh();
      clearTimeout(this.timer); // of another call that ran meanwhile
      if (!this.refused) this.timer = setTimeout(again, this.shown ? LOOKED_AT : ELSEWHERE);
    };
    this.again = again;
    document.addEventListener('visibilitychange', () => this.soon(0));
    return again();
  }

  /** Looks after a moment. A page that nobody sees waits until it is seen. */
  soon(milliseconds = SOON) {
    if (this.refused || !this.again || document.hidden) return;
    clearTimeout(this.timer);
    this.timer = setTimeout(this.again, milliseconds);
  }

  /** Loads the first page again: what is due first may have been decided elsewhere. */
  refresh() {
    if (document.hidden && this.loaded) return Promise.resolve();
    this.loading ??= this.#load(null);
    return this.loading;
  }

  /** Loads the next page, if there is one. */
  more() {
    if (this.ended) return Promise.resolve();
    this.loading ??= this.#load(this.cursor);
    return this.loading;
  }

  async #load(cursor) {
    try {
      const page = await call('GET', '/reviews', { query: { state: this.state, limit: PAGE, cursor } });
      if (cursor === null) this.#first(page);
      else this.further = true;
      // After further pages a new first page says nothing of where the list ends.
      if (cursor !== null || !this.further) this.cursor = page.cursor ?? null;
      for (const one of page.reviews) if (!this.over.has(one.id)) this.reviews.set(one.id, { ...this.reviews.get(one.id), ...one });
      this.loaded = true;
      this.error = null;
    } catch (error) {
      this.error = error;
      this.refused = [401, 403, 404].includes(error.status);
    } finally {
      this.loading = null;
      this.#changed();
    }
  }

  /** The first page has all that is due before its end: whatever else was known there is decided. */
  #first({ reviews, cursor }) {
    const listed = new Set(reviews.map((one) => one.id));
    const end = reviews.length ? due(reviews.at(-1)) : 0;
    for (const [id, known] of this.reviews) if (!listed.has(id) && (!cursor || due(known) < end)) this.reviews.delete(id);
  }

  /** Takes in one review as it is now: one that is not open any more leaves the list. */
  apply(review) {
    if (review.state === this.state) this.reviews.set(review.id, { ...this.reviews.get(review.id), ...review });
    else {
      this.over.add(review.id);
      this.reviews.delete(review.id);
    }
    this.#changed();
  }

  /**
   * One review with all that a decision needs.
   * @param {{fresh?: boolean}} [options] `fresh`: not what was loaded ahead
   * @returns {Promise<object>}
   */
  detail(id, { fresh = false } = {}) {
    const known = this.ahead.get(id);
    this.ahead.delete(id);
    if (known && !fresh && Date.now() - known.time < DETAIL) return known.answer;
    return call('GET', `/reviews/${encodeURIComponent(id)}`);
  }

  /** Loads a review that somebody will ask for next. */
  prepare(id) {
    if (!id || this.ahead.has(id)) return;
    this.ahead.clear();
    const answer = call('GET', `/reviews/${encodeURIComponent(id)}`);
    answer.catch(() => this.ahead.delete(id)); // whoever asks for it asks again
    this.ahead.set(id, { time: Date.now(), answer });
  }

  /** @param {'approve'|'reject'} decision */
  async decide(id, decision, reason) {
    const review = await call('POST', `/reviews/${encodeURIComponent(id)}/${decision}`, { body: { reason } });
    this.apply(review);
    return review;
  }

  remove(id) {
    this.over.add(id);
    this.reviews.delete(id);
    this.#changed();
  }

  #changed() {
    const all = [...this.reviews.values()].map((one) => [due(one), one.id]);
    // What is closed stays in the order of the API.
    if (this.state === 'open') all.sort(([a, one], [b, other]) => (a === b ? (one < other ? -1 : 1) : a - b));
    this.ids = all.map(([, id]) => id);
    this.dispatchEvent(new Event('change'));
  }
}
