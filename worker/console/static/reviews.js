// The page of reviews: all open ones by their deadline, and one at a time.

import { mayReview } from './api.js';
import { announce, button, fill, h, icon } from './dom.js';
import { REVIEW, ago, capital, moment, plural, timeLeft } from './format.js';
import { placeholderUrl } from './placeholder.js';
import { people, reviewPanel, sentence, titleOf } from './review.js';
import { ReviewStore } from './review-store.js';

const KEYS_OFF = 'safelight-keys-off';
const TICK = 10_000; // milliseconds between two looks at the clock
const STATES = ['open', 'approved', 'rejected', 'expired'];

/** What each key does; the page listens to them unless a person types, or has switched them off. */
const KEYS = [
  [['J', '→'], 'Next review'],
  [['K', '←'], 'Previous review'],
  [['U'], 'Show the picture, or blur it again'],
  [['G'], 'Show it without colours, or with them'],
  [['Z'], 'Actual size, or the whole picture'],
  [['A'], 'Approve: asks for a reason; A or Enter confirms'],
  [['R'], 'Reject: asks for a reason; R or Enter confirms'],
  [['1', '…', '6'], 'Choose a reason'],
  [['Esc'], 'Cancel, or go back to the list'],
  [['?'], 'Show this list'],
];

/** Why there is nothing to see for a person without the right. */
function noRight() {
  return h('div.empty', {}, icon('lock'), h('h1', {}, 'Reviews are for reviewers'),
    h('p', {}, 'Your sign-in does not have the right ', h('code', {}, 'review'), '. Whoever manages sign-ins can give it to you.'),
    h('p', {}, h('a', { href: '#/' }, 'Back to the library')));
}

/**
 * @param {ReviewStore} reviews the open ones
 * @returns {{element: HTMLElement, title: string, update: function(object): string, destroy: function()}}
 */
export function reviewsView({ reviews, id: first = '', query, navigate }) {
  if (!mayReview()) return { element: noRight(), title: 'Reviews', destroy() {} };
  let store = reviews;
  let id = '';
  let state = 'open';
  const rows = new Map();

  // --- frame ---

  const back = h('a.button.round', { href: '#/reviews', aria: { label: 'Back to the list' }, title: 'Back to the list' }, icon('back'));
  const place = h('span.soft.small.num');
  const previous = button('Previous review', 'back', () => step(-1), { quiet: true, aria: { label: 'Previous review', keyshortcuts: 'K' } });
  const following = button('Next review', 'back', () => step(1), { quiet: true, kind: 'forward', aria: { label: 'Next review', keyshortcuts: 'J' } });
  const start = button('Start', 'play', () => open(store.ids[0]), { kind: 'primary' });
  const help = button('Keyboard', 'keys', showHelp, { quiet: true });
  const list = h('ol.queue-list', { on: { keydown: onListKey } });
  const nothing = h('div.empty', { hidden: true });
  const more = button('Show more', 'chevron', () => store.more(), { kind: 'small' });
  const chips = h('div.chips', { role: 'radiogroup', aria: { label: 'State' } });
  const queue = h('section.queue', { aria: { label: 'List of reviews' } }, chips, list, nothing, h('div.actions.middle', {}, more));
  const panel = h('div.queue-one');
  const element = h('div.reviews', {},
    h('div.page-head', {}, back, h('h1', {}, 'Reviews'), place, h('div.actions', {}, previous, following, help, start)),
    h('div.reviews-body', {}, queue, panel));
  let one = null;

  // --- list ---

  function paint(review) {
    const left = timeLeft(review.deadline);
    const url = placeholderUrl(review.placeholder?.thumbhash);
    const last = review.decisions.at(-1);
    const closed = review.state !== 'open';
    const known = rows.get(review.id);
    const key = [review.state, review.escalated, review.decisions.length, review.needed, review.reason?.message, titleOf(review), url.length].join('/');
    if (known?.key === key) return known;
    const when = h('span.when.num');
    const row = known ?? { element: h('li', {}, h('a.queue-item', { href: hrefOf(review.id) })) };
    Object.assign(row, { key, when, deadline: closed ? null : review.deadline });
    fill(row.element.firstChild,
      h('span.thumb', {}, url ? h('img', { src: url, alt: '' }) : icon(review.media === 'video' ? 'play' : 'image'), review.media === 'video' && url ? icon('play') : null),
      h('span.what', {},
        h('b', { title: titleOf(review) }, titleOf(review)),
        h('span.facts', {}, closed && last ? [sentence(last), last.reason].filter(Boolean).join(': ') : capital(review.reason?.message ?? ''))),
      h('span.whose', {}, review.owner || '', h('time', { dateTime: review.asked_at, title: moment(review.asked_at) }, `asked ${ago(review.asked_at)}`)),
      h('span.marks', {},
        closed ? h('span.badge', { data: { tone: REVIEW[review.state]?.tone } }, REVIEW[review.state]?.label ?? review.state) : null,
        review.escalated ? h('span.badge', { data: { tone: 'bad' } }, icon('warn'), 'Escalated') : null,
        people(review)),
      closed ? null : when);
    if (!closed) {
      when.textContent = left.text;
      when.dataset.tone = left.tone;
    }
    rows.set(review.id, row);
    return row;
  }

  function hrefOf(review) { return `#/reviews/${encodeURIComponent(review)}${state === 'open' ? '' : `?state=${state}`}`; }

  function drawList() {
    const shown = store.ids.map((known) => paint(store.reviews.get(known)));
    const keep = new Set(store.ids);
    for (const [known, row] of rows) {
      if (keep.has(known)) continue;
      row.element.remove();
      rows.delete(known);
    }
    // Rows that stay are not moved: the focus would be lost.
    shown.forEach((row, index) => { if (list.children[index] !== row.element) list.insertBefore(row.element, list.children[index] ?? null); });
    const marked = list.querySelector('[aria-current]');
    const current = rows.get(id)?.element.firstChild;
    if (marked !== current) {
      marked?.removeAttribute('aria-current');
      current?.setAttribute('aria-current', 'true');
    }
    more.hidden = store.ended;
    nothing.hidden = store.ids.length > 0;
    if (nothing.hidden) return;
    if (store.error) fill(nothing, icon('warn'), h('h2', {}, store.refused ? 'There are no reviews here' : 'The list cannot be loaded'), h('p', {}, store.error.message), h('div.actions.middle', {}, button('Try again', 'retry', () => store.refresh())));
    else if (!store.loaded) fill(nothing, h('p', { role: 'status' }, 'Loading'));
    else if (state === 'open') fill(nothing, icon('check'), h('h2', {}, 'Nothing waits'), h('p', {}, 'No picture or video waits for a decision. New ones appear here by themselves.'));
    else fill(nothing, icon('search'), h('h2', {}, 'None'), h('p', {}, `No review is ${state}.`));
  }

  function drawHead() {
    const count = `${plural(store.ids.length, 'review')}${store.ended ? '' : ' so far'}`;
    const index = store.ids.indexOf(id);
    const escalated = state === 'open' && store.escalated ? `, ${store.escalated} escalated` : '';
    const text = id ? (index >= 0 ? `${index + 1} of ${store.ids.length}${store.ended ? '' : '+'}` : '') : store.loaded && store.ids.length ? `${count}${escalated}` : '';
    if (place.textContent !== text) place.textContent = text;
    back.hidden = !id;
    back.href = state === 'open' ? '#/reviews' : `#/reviews?state=${state}`;
    start.hidden = Boolean(id) || state !== 'open' || !store.ids.length;
    previous.hidden = following.hidden = !id;
    previous.disabled = id !== '' && index <= 0;
    following.disabled = id !== '' && after(1) === null;
    element.dataset.open = Boolean(id);
  }

  function draw() {
    drawList();
    drawHead();
  }

  function drawChips() {
    fill(chips, STATES.map((name) => h('label.chip', {},
      h('input', { type: 'radio', name: 'state', value: name, checked: name === state, on: { change: () => navigate(name === 'open' ? '#/reviews' : `#/reviews?state=${name}`) } }),
      h('span', {}, REVIEW[name].label))));
  }

  const tick = () => {
    for (const row of rows.values()) {
      if (row.deadline === null) continue;
      const { text, tone } = timeLeft(row.deadline);
      if (row.when.textContent === text) continue;
      row.when.textContent = text;
      row.when.dataset.tone = tone;
    }
  };
  const timer = setInterval(tick, TICK);

  // --- one at a time ---

  /** The review so many places further; null if there is none. */
  function after(places, from = store.ids.indexOf(id)) {
    if (from < 0) return places > 0 ? store.ids[0] ?? null : null;
    return store.ids[from + places] ?? null;
  }

  function open(next) {
    if (next) navigate(hrefOf(next));
  }

  function step(places) {
    const next = after(places);
    if (next) open(next);
    else announce(places > 0 ? 'This is the last one' : 'This is the first one');
    return true;
  }

  /** Where to go on after a decision: what is due next and not approved by this person already. */
  let leftAt = 0; // the place of the review that is shown, before it leaves the list
  function goOn() {
    const next = store.ids.slice(leftAt).find((known) => known !== id) ?? store.ids.find((known) => known !== id);
    if (next) open(next);
    else navigate('#/reviews');
  }

  function decided(review) {
    if (review.state === 'open') leftAt = store.ids.indexOf(review.id) + 1;
    goOn();
  }

  function panelOf() {
    one ??= reviewPanel({ store, decided, next: goOn });
    if (!one.element.isConnected) fill(panel, one.element);
    return one;
  }

  // --- keys ---

  function onListKey(event) {
    const step_ = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step_) return;
    const links = [...list.querySelectorAll('a')];
    const to = links[links.indexOf(document.activeElement) + step_];
    if (!to) return;
    event.preventDefault();
    to.focus();
  }

  function onKey(event) {
    if (event.altKey || event.ctrlKey || event.metaKey || event.repeat || document.querySelector('dialog[open]')) return;
    const target = event.target;
    const typing = target.matches('input[type="text"], input[type="search"], input[type="password"], textarea, select');
    if (event.key === 'Escape') {
      if (id && !one.act('cancel')) navigate(back.hash);
      return;
    }
    if (typing || localStorage.getItem(KEYS_OFF)) return;
    if (event.key === '?') {
      event.preventDefault();
      showHelp();
      return;
    }
    if (!id) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (/^[1-6]$/.test(key) && one.choose(Number(key))) {
      event.preventDefault();
      return;
    }
    // Arrows belong to what is focused: a choice, a player, a picture that moves.
    const arrows = !target.matches('input, video, .canvas');
    const acts = {
      j: () => step(1), k: () => step(-1),
      ...(arrows ? { ArrowRight: () => step(1), ArrowLeft: () => step(-1) } : {}),
      u: () => one.act('unblur'), g: () => one.act('grey'), z: () => one.act('zoom'),
      a: () => one.act('approve'), r: () => one.act('reject'),
    };
    if (acts[key]?.()) event.preventDefault();
  }

  function showHelp() {
    const off = h('input', { type: 'checkbox', checked: !localStorage.getItem(KEYS_OFF), on: { change: () => {
      if (off.checked) localStorage.removeItem(KEYS_OFF);
      else localStorage.setItem(KEYS_OFF, '1');
    } } });
    const dialog = h('dialog.dialog.help', { aria: { labelledby: 'help-title' } },
      h('h2', { id: 'help-title' }, 'Keyboard'),
      h('dl.keys', {}, KEYS.map(([keys, text]) => [h('dt', {}, keys.map((key) => (key === '…' ? ' … ' : h('kbd', {}, key)))), h('dd', {}, text)])),
      h('label.check', {}, off, 'Use these keys on this page'),
      h('form', { method: 'dialog' }, h('div.actions', {}, h('button.button', { autofocus: true }, 'Close'))));
    dialog.addEventListener('close', () => dialog.remove());
    document.body.append(dialog);
    dialog.showModal();
  }

  // --- whole ---

  let drawing = false;
  const onChange = () => {
    const index = store.ids.indexOf(id);
    if (index >= 0) leftAt = index;
    if (drawing) return; // many changes are one drawing
    drawing = true;
    requestAnimationFrame(() => {
      drawing = false;
      draw();
    });
  };

  function listen(next) {
    store.removeEventListener('change', onChange);
    store = next;
    store.addEventListener('change', onChange);
    one?.destroy();
    one = null;
    for (const row of rows.values()) row.element.remove();
    rows.clear();
  }

  /** Follows the page's address. Returns what to tell screen readers. */
  function update({ id: wanted = '', query: asked }) {
    const wish = STATES.includes(asked.get('state')) ? asked.get('state') : 'open';
    if (wish !== state || !chips.children.length) {
      state = wish;
      listen(state === 'open' ? reviews : new ReviewStore(state));
      drawChips();
      store.refresh();
    }
    const before = id;
    id = wanted;
    onChange();
    draw();
    if (!id) {
      one?.destroy();
      one = null;
      fill(panel);
      // Back in the list, at the place where one was.
      if (before) (rows.get(before)?.element ?? list.children[Math.min(leftAt, list.children.length - 1)])?.firstChild.focus({ preventScroll: true });
      scrollTo(0, 0);
      document.title = 'Reviews · Safelight';
      return 'Reviews';
    }
    const shown = panelOf().show(id);
    rows.get(id)?.element.scrollIntoView({ block: 'nearest' });
    scrollTo(0, 0);
    shown.then(() => {
      document.getElementById('review-title')?.focus({ preventScroll: true });
      store.prepare(after(1));
      if (one?.review) document.title = `${titleOf(one.review)} · Safelight`;
    });
    const review = store.reviews.get(id);
    return review ? `${titleOf(review)}. ${place.textContent}. ${timeLeft(review.deadline).text}.` : 'Review';
  }

  reviews.shown = true;
  reviews.soon(0);
  addEventListener('keydown', onKey);
  update({ id: first, query });
  return {
    element,
    title: 'Reviews',
    update,
    destroy() {
      reviews.shown = false;
      clearInterval(timer);
      removeEventListener('keydown', onKey);
      store.removeEventListener('change', onChange);
      one?.destroy();
    },
  };
}
