// One review: the picture, what moderation saw, and the decision.

import { isAdmin, owner, person } from './api.js';
import { card, fitted, labelsCard, metadataRows, moderationCard, sizeText } from './cards.js';
import { announce, button, fill, h, icon, toast } from './dom.js';
import { REVIEW, ago, bytes, capital, clock, duration, moment, timeLeft, words } from './format.js';
import { placeholderUrl } from './placeholder.js';
import { player } from './player.js';
import { bar } from './plot.js';
import { thumbnailOf } from './tile.js';

const DRAFT = 'safelight-review:';
const GREY = 'safelight-grey';
const TICK = 1_000; // milliseconds between two looks at the clock
const MOST = 1_000; // characters of a reason that the API takes
const QUICK = {
  approve: ['Nothing wrong with it', 'Wrongly flagged', 'Allowed in this context'],
  reject: ['Sexual content', 'Violence', 'Hate or harassment', 'Personal data', 'Advertising', 'Not ours to show'],
};
const AFTERWARDS = { approve: 'After that it is approved by itself.', reject: 'After that it is rejected by itself.', hold: 'After that it stays held.' };
const VERB = { approve: 'Approve', reject: 'Reject' };
const DONE = { approve: 'approved', reject: 'rejected' };
const AGAIN = [0, 429, 500, 502, 503, 504]; // statuses after which the same request may succeed

/** Whether a person looks at pictures without their colours. */
export function isGrey() { return localStorage.getItem(GREY) === 'on'; }

/** The name that people know a review by. */
export function titleOf(review) { return review.name || review.original?.name || review.asset; }

/** How many people must approve, and how many have: two dots. */
export function people(review) {
  if (review.needed < 2) return null;
  const count = review.decisions.filter((one) => one.decision === 'approve').length;
  return h('span.badge.people', { title: 'Two people have to approve' }, icon('people'), `${count} of ${review.needed}`, h('span.unseen', {}, ' have approved'));
}

/** A decision as a sentence: `mia approved it 5 minutes ago`. */
export function sentence(decision, when = ago(decision.time)) {
  const who = decision.reviewer === person() ? 'You' : decision.reviewer;
  return `${who} ${DONE[decision.decision] ?? words(decision.decision)} it ${when}`.trim();
}

/** Whether the user may open the page of its asset: a reviewer is no administrator. */
function readable(review) { return isAdmin() || review.owner === owner(); }

function quickReasons(decision, review) {
  if (decision === 'approve') return QUICK.approve;
  // What moderation saw comes first: most often it is the reason.
  const seen = [...review.moderation?.labels ?? []].sort((a, b) => b.confidence - a.confidence).map((one) => words(one.name));
  return [...new Map([...seen.slice(0, 2), ...QUICK.reject].map((text) => [text.toLowerCase(), text])).values()].slice(0, 6);
}

/**
 * @param {object} options
 * @param {ReviewStore} options.store
 * @param {function(object)} options.decided a decision was recorded; gets the review as it is then
 * @param {function()} options.next asks for the next review
 */
export function reviewPanel({ store, decided, next }) {
  const parts = { head: h('div.review-head'), stage: h('section.card.stage', { aria: { label: 'What was uploaded' } }), decide: h('section.card.decide', { aria: { label: 'Decision' } }), seen: h('div.stack'), under: h('div.review-under') };
  const whole = [parts.head, h('div.review-body', {}, parts.stage, h('div.review-side', {}, parts.decide, parts.seen), parts.under)];
  const element = h('article.review', { aria: { labelledby: 'review-title' } });
  let now = blank('');
  let stop = null; // of the player
  let drawn = {};

  function blank(id) { return { id, review: null, detailed: false, shown: false, looked: false, actual: false, armed: '', busy: false, problem: null, renewed: false }; }

  const draft = {
    get: (decision) => JSON.parse(sessionStorage.getItem(`${DRAFT}${now.id}.${decision}`) ?? 'null'),
    set: (decision, value) => sessionStorage.setItem(`${DRAFT}${now.id}.${decision}`, JSON.stringify(value)),
    drop: () => { for (const decision of Object.keys(QUICK)) sessionStorage.removeItem(`${DRAFT}${now.id}.${decision}`); },
  };

  async function load({ fresh = false } = {}) {
    const { id } = now;
    try {
      const review = await store.detail(id, { fresh });
      if (now.id !== id) return;
      now.review = { ...now.review, ...review };
      now.detailed = true;
      if (review.state === 'open') store.apply(review);
      else {
        if (now.armed) now.late ??= { decision: now.armed, reason: draft.get(now.armed)?.text ?? '' };
        now.armed = '';
        store.remove(id);
      }
      draw();
    } catch (error) {
      if (now.id !== id) return;
      if (error.status === 404 || error.status === 410) store.remove(id);
      if (now.review && error.status !== 404) now.problem = { text: error.message, again: () => load({ fresh: true }) };
      else now.missing = error;
      draw();
    }
  }

  // --- head ---

  function drawHead() {
    const { review } = now;
    const { original, video } = review;
    const state = REVIEW[review.state] ?? REVIEW.open;
    fill(parts.head,
      h('h2', { id: 'review-title', tabIndex: -1, title: titleOf(review) }, titleOf(review)),
      h('p.sub', {},
        review.state === 'open' ? null : h('span.badge', { data: { tone: state.tone } }, state.label),
        review.escalated ? h('span.badge', { data: { tone: 'bad' } }, icon('warn'), 'Escalated') : null,
        people(review),
        review.owner ? h('span', {}, `of ${review.owner}`) : null,
        video ? h('span.num', {}, clock(video.duration_ms)) : null,
        original?.format ? h('span', {}, original.format.toUpperCase()) : null,
        original?.bytes ? h('span.num', {}, bytes(original.bytes)) : null,
        readable(review) ? h('a', { href: `#/asset/${encodeURIComponent(review.asset)}` }, 'Open the asset') : null));
  }

  // --- stage ---

  function drawStage() {
    stop?.();
    stop = null;
    const { review, shown, actual } = now;
    const isVideo = review.media === 'video';
    const canvas = h('div.canvas', { data: { grey: isGrey() } });
    const toggle = button(shown ? 'Blur again' : isVideo ? 'Show the video' : 'Show the picture', shown ? 'veil' : 'eye', () => act('unblur'), { kind: shown ? 'small' : 'primary', aria: { keyshortcuts: 'U' } });
    if (!shown) {
      const url = placeholderUrl(review.placeholder?.thumbhash);
      fill(canvas,
        url ? h('img.under', { src: url, alt: '' }) : null,
        h('div.veil', {}, icon('veil'), h('p', {}, url ? 'Blurred until you ask for it' : 'Hidden until you ask for it'), toggle));
      fill(parts.stage, canvas);
      return;
    }
    if (!now.detailed) {
      fill(canvas, h('p.message', { role: 'status' }, 'Loading'));
      fill(parts.stage, canvas);
      return;
    }
    const note = h('div.stage-note', {},
      toggle,
      button(isGrey() ? 'With colours' : 'Without colours', 'grey', () => act('grey'), { kind: 'small', aria: { keyshortcuts: 'G' } }),
      isVideo ? null : button(actual ? 'Whole picture' : 'Actual size', actual ? 'fit' : 'expand', () => act('zoom'), { kind: 'small', aria: { keyshortcuts: 'Z' } }));
    const source = isVideo ? videoOf(review, canvas, note) : pictureOf(review, canvas, actual);
    fill(canvas, source);
    fill(parts.stage, canvas, note);
    // What a picture shows is most often in its middle.
    if (canvas.classList.contains('actual')) canvas.scrollTo((canvas.scrollWidth - canvas.clientWidth) / 2, (canvas.scrollHeight - canvas.clientHeight) / 2);
  }

  function unseen(text, ...actions) {
    return h('div.message', { data: { tone: 'bad' } }, icon('warn'), h('p', {}, text), ...actions);
  }

  function pictureOf(review, canvas, actual) {
    const rendition = review.renditions ? thumbnailOf(review, 1600) : null;
    const shown = review.picture ?? (rendition && { src: rendition.url, width: rendition.width, height: rendition.height });
    if (!shown) return unseen('There is no picture of it. The original is kept and is not shown.');
    const image = h('img', { alt: `Under review: ${titleOf(review)}`, decoding: 'async' });
    if (actual) {
      canvas.classList.add('actual');
      canvas.tabIndex = 0;
      canvas.setAttribute('role', 'region');
      canvas.setAttribute('aria-label', 'The picture at its actual size. Arrow keys move it.');
      image.width = shown.width;
      image.height = shown.height;
    } else fitted(image, shown);
    const under = placeholderUrl(review.placeholder?.thumbhash);
    if (under) image.style.background = `center / 100% 100% no-repeat url(${under})`;
    image.addEventListener('load', () => { image.style.background = ''; });
    image.addEventListener('error', () => {
      // Signed addresses end: new ones are asked for, once.
      if (!now.renewed) {
        now.renewed = true;
        drawn.stage = '';
        load({ fresh: true });
      } else fill(canvas, unseen('The picture cannot be loaded.', button('Try again', 'retry', () => { drawn.stage = ''; load({ fresh: true }); })));
    });
    if (shown.srcset) {
      image.sizes = actual ? `${shown.width}px` : '(min-width: 1024px) 60vw, 100vw';
      image.srcset = shown.srcset;
    }
    image.src = shown.src;
    return image;
  }

  function videoOf(review, canvas, note) {
    const files = (review.renditions ?? []).filter((one) => one.format === 'mp4');
    const source = files.find((one) => one.name !== 'preview') ?? files[0];
    const poster = review.renditions ? thumbnailOf(review, 1280) : null;
    if (!source && !poster) return unseen('Nothing of the video can be shown yet.');
    if (!source) return fitted(h('img', { src: poster.url, alt: `Poster of ${titleOf(review)}` }), poster);
    const text = h('span', { role: 'status' });
    note.append(text);
    const made = player({ file: source, poster: poster?.url, name: `Under review: ${titleOf(review)}` }, (said) => { text.textContent = `${said} It starts muted.`; });
    made.element.muted = true;
    stop = made.destroy;
    return made.element;
  }

  // --- decision ---

  function mine() { return now.review.decisions.find((one) => one.reviewer === person()); }

  function drawDecide() {
    const { review } = now;
    const open = review.state === 'open';
    fill(parts.decide,
      open ? deadline(review) : null,
      h('div.body', {},
        why(review),
        history(review),
        now.problem ? h('div.reason', { data: { tone: 'bad' }, role: 'alert' }, icon('warn'), h('div', {}, h('p', {}, now.problem.text), now.problem.again ? button('Try again', 'retry', now.problem.again, { kind: 'small' }) : null)) : null,
        open ? (now.armed ? form(now.armed) : choices(review)) : over(review)));
  }

  function deadline(review) {
    const { text, tone } = timeLeft(review.deadline);
    const asked = Date.parse(review.asked_at);
    const share = review.deadline ? (Date.now() - asked) / (Date.parse(review.deadline) - asked) : null;
    return h('header.due', { data: { tone } }, icon('clock'),
      h('strong.num', {}, text),
      review.deadline ? h('time', { dateTime: review.deadline }, moment(review.deadline)) : null,
      share === null ? null : bar(Math.min(1, share)),
      AFTERWARDS[review.default] ? h('p.afterwards', {}, AFTERWARDS[review.default]) : null);
  }

  function why(review) {
    return h('div.why-asked', {},
      h('p', {}, h('span.soft', {}, 'Asked '), h('time.soft', { dateTime: review.asked_at, title: moment(review.asked_at) }, ago(review.asked_at)), h('span.soft', {}, ' because')),
      h('p', {}, h('strong', {}, capital(review.reason?.message ?? 'a person has to look at it')), ' ', review.reason?.code ? h('code.small.soft', {}, review.reason.code) : null));
  }

  function history(review) {
    if (!review.decisions.length) return null;
    return h('ul.decisions', {}, review.decisions.map((one) => h('li', { data: { tone: one.decision === 'approve' ? 'good' : 'bad' } },
      icon(one.decision === 'approve' ? 'check' : 'close'),
      h('span', {}, sentence(one), one.reason ? h('span.detail', {}, one.reason) : null))));
  }

  function choices(review) {
    const said = mine();
    const approved = said?.decision === 'approve';
    const second = review.needed > 1 ? (approved ? 'Your approval counts. A second person has to approve, too.' : review.decisions.length ? 'Yours is the second approval.' : 'Two people have to approve. One is enough to reject.') : '';
    const choice = (decision, name, key, kind) => h(`button.button.big.${kind}`, {
      type: 'button', data: { decision }, disabled: decision === 'approve' && approved, aria: { keyshortcuts: key }, on: { click: () => act(decision) },
    }, icon(name), h('span', {}, VERB[decision]), h('kbd', { aria: { hidden: 'true' } }, key));
    return [
      second ? h('p.second', {}, icon('people'), second) : null,
      h('div.choices', {},
        choice('approve', 'check', 'A', 'good'),
        choice('reject', 'close', 'R', 'danger')),
    ];
  }

  function form(decision) {
    const { review } = now;
    const reasons = quickReasons(decision, review);
    const kept = draft.get(decision) ?? { quick: reasons[0], text: '' };
    const unseenYet = decision === 'approve' && !now.looked;
    const text = h('input', { type: 'text', name: 'words', value: kept.text, maxLength: MOST, autocomplete: 'off', placeholder: 'In your own words, if you like', aria: { label: 'In your own words' } });
    const chips = reasons.map((reason, index) => h('label.chip', {},
      h('input', { type: 'radio', name: 'quick', value: reason, checked: reason === kept.quick }),
      h('span', {}, h('kbd', { aria: { hidden: 'true' } }, index + 1), reason)));
    const confirm = h(`button.button.${decision === 'approve' ? 'good' : 'bad'}`, { disabled: now.busy }, icon(decision === 'approve' ? 'check' : 'close'), h('span', {}, now.busy ? 'Sending' : `${VERB[decision]}${unseenYet ? ' unseen' : ''}`), h('kbd', { aria: { hidden: 'true' } }, '↵'));
    const quick = () => made.querySelector('input[name="quick"]:checked')?.value ?? '';
    const made = h('form.decide-form', {
      data: { decision },
      on: {
        input: () => draft.set(decision, { quick: quick(), text: text.value }),
        submit: (event) => {
          event.preventDefault();
          send(decision, [quick(), text.value.trim()].filter(Boolean).join(': ').slice(0, MOST));
        },
      },
    },
    h('fieldset', {},
      h('legend', {}, decision === 'approve' ? 'Approve it, because' : 'Reject it, because'),
      h('div.chips.wrap', {}, chips)),
    h('label.field', {}, text),
    unseenYet ? h('p.second', { data: { tone: 'warn' } }, icon('warn'), 'You have not looked at it.') : null,
    h('p.soft.small', {}, decision === 'reject' ? 'The owner sees the reason. All files are removed; the original goes to quarantine.' : review.needed > 1 && !review.decisions.length ? 'It stays held until a second person approves.' : 'Everybody can see it at once.'),
    h('div.actions', {}, button('Cancel', '', () => act('cancel'), { kind: 'quiet', disabled: now.busy }), confirm));
    return made;
  }

  function over(review) {
    const last = review.decisions.at(-1);
    const text = {
      approved: 'It is approved. Its files are served.',
      rejected: 'It is rejected. Its files are removed, and the original is in quarantine.',
      expired: 'Nobody decided before the deadline. What the workflow says for this case was done.',
      withdrawn: 'The question is void: the file was deleted, replaced or published meanwhile.',
    }[review.state] ?? `It is ${review.state}.`;
    const late = now.late && last && last.reviewer !== person() && ['approved', 'rejected'].includes(review.state);
    return [
      h('div.reason', { data: { tone: REVIEW[review.state]?.tone ?? 'quiet' }, role: 'status' }, icon(review.state === 'approved' ? 'check' : review.state === 'rejected' ? 'close' : 'clock'),
        h('div', {}, h('p', {}, late ? h('strong', {}, 'Somebody else was faster. ') : now.late ? h('strong', {}, 'Your decision came too late. ') : null, text),
          now.late ? h('p.detail', {}, `Your decision, ${VERB[now.late.decision].toLowerCase()}, was not recorded${now.late.reason ? `: “${now.late.reason}”` : ''}.`) : null)),
      store.ids.length ? h('div.actions', {}, button('Next review', 'back', next, { kind: 'primary.forward', aria: { keyshortcuts: 'J' } })) : null,
    ];
  }

  async function send(decision, reason) {
    if (now.busy) return;
    const { id } = now;
    const title = titleOf(now.review);
    now.busy = true;
    now.problem = null;
    drawn.decide = '';
    draw();
    try {
      const review = await store.decide(id, decision, reason);
      draft.drop();
      const waits = review.state === 'open';
      toast(waits ? `Your approval of ${title} counts. A second person has to approve.` : `${title} is ${DONE[decision]}.`);
      if (now.id !== id) return;
      Object.assign(now, { review: { ...now.review, ...review }, busy: false, armed: '' });
      decided(review);
    } catch (error) {
      if (now.id !== id) {
        toast(`${title}: ${error.message}`, { bad: true });
        return;
      }
      now.busy = false;
      if (error.status === 409 || error.status === 404) {
        // Somebody else, or the clock, was faster: what stands is asked for and told.
        now.armed = '';
        if (error.code !== 'review_same_reviewer') now.late = { decision, reason };
        announce(error.message);
        await load({ fresh: true });
        return;
      }
      now.problem = AGAIN.includes(error.status)
        ? { text: `${error.message} Your decision is not recorded yet; your reason is kept.`, again: () => send(decision, reason) }
        : { text: error.message };
    }
    drawn.decide = '';
    draw();
  }

  // --- facts ---

  function drawFacts() {
    const { review } = now;
    const rows = [];
    const row = (term, ...value) => rows.push(h('dt', {}, term), h('dd', {}, ...value));
    const { original, video } = review;
    if (original?.width) row('Size', sizeText(original));
    if (video) row('Length', duration(video.duration_ms));
    for (const [term, text] of metadataRows(review.metadata)) row(term, text);
    row('Owner', review.owner || 'nobody');
    row('Asset', h('span.mono', {}, review.asset));
    row('Version', h('span.mono', {}, review.version));
    fill(parts.seen, moderationCard(review.moderation));
    fill(parts.under, labelsCard(review.labels), card('Details', h('dl.facts-list', {}, rows)));
  }

  // --- whole ---

  function draw() {
    if (now.missing) {
      drawn = {};
      stop?.();
      const { status, message } = now.missing;
      fill(element, h('div.empty', {}, icon(status === 404 ? 'clock' : 'warn'),
        h('h2', { id: 'review-title', tabIndex: -1 }, status === 404 ? 'There is no such review' : 'The review cannot be shown'),
        h('p', {}, status === 404 ? 'Its asset may have been deleted meanwhile.' : message),
        h('div.actions.middle', {},
          status === 404 ? null : button('Try again', 'retry', () => { now.missing = null; load({ fresh: true }); }),
          store.ids.length ? button('Next review', 'back', next, { kind: 'primary.forward' }) : null)));
      return;
    }
    const { review } = now;
    if (!review) {
      fill(element, h('p.empty', { role: 'status' }, 'Loading'));
      return;
    }
    if (!parts.head.isConnected) fill(element, ...whole);
    const keys = {
      head: [now.id, review.state, review.escalated, review.decisions.length, review.needed, now.detailed],
      stage: [now.id, now.shown, now.actual, now.shown && now.detailed, isGrey(), review.version, Boolean(review.placeholder)],
      decide: [now.id, review.state, review.decisions.length, review.needed, review.deadline, now.armed, now.busy, now.problem?.text, Boolean(now.late), store.ids.length > 0],
      facts: [now.id, now.detailed],
    };
    const draws = { head: drawHead, stage: drawStage, decide: drawDecide, facts: drawFacts };
    for (const [name, key] of Object.entries(keys)) {
      const text = key.join('/');
      if (drawn[name] === text) continue;
      drawn[name] = text;
      draws[name]();
    }
  }

  function tick() {
    const due = parts.decide.querySelector('.due');
    if (due && now.review) due.replaceWith(deadline(now.review));
  }

  const timer = setInterval(tick, TICK);
  const onChange = () => {
    const listed = store.reviews.get(now.id);
    if (!now.review || now.missing) return;
    if (listed && listed !== now.review) now.review = { ...now.review, ...listed };
    // It left the list while a person looks at it: what happened is told in its place.
    else if (!listed && now.review.state === 'open' && !now.busy && store.loaded && now.detailed && !now.asked) {
      now.asked = true;
      load({ fresh: true });
    }
    draw();
  };
  store.addEventListener('change', onChange);

  /** Does what a key or a button asks for. Returns whether there was something to do. */
  function act(name) {
    const { review } = now;
    if (!review || now.missing) return false;
    if (name === 'unblur') {
      now.shown = !now.shown;
      now.looked = now.looked || now.shown;
      now.actual = false;
      draw();
      announce(now.shown ? 'Shown' : 'Blurred');
      parts.stage.querySelector('[aria-keyshortcuts="U"]')?.focus({ preventScroll: true });
      return true;
    }
    if (name === 'grey') {
      localStorage.setItem(GREY, isGrey() ? 'off' : 'on');
      draw();
      announce(isGrey() ? 'Without colours' : 'With colours');
      parts.stage.querySelector('[aria-keyshortcuts="G"]')?.focus({ preventScroll: true });
      return true;
    }
    if (name === 'zoom') {
      if (!now.shown || review.media === 'video') return false;
      now.actual = !now.actual;
      draw();
      (parts.stage.querySelector('.canvas.actual') ?? parts.stage.querySelector('[aria-keyshortcuts="Z"]'))?.focus({ preventScroll: true });
      return true;
    }
    if (name === 'cancel') {
      if (!now.armed || now.busy) return false;
      const was = now.armed;
      now.armed = '';
      now.problem = null;
      draw();
      parts.decide.querySelector(`[data-decision="${was}"]`)?.focus({ preventScroll: true });
      return true;
    }
    if (review.state !== 'open' || now.busy) return false;
    if (now.armed === name) {
      parts.decide.querySelector('form')?.requestSubmit();
      return true;
    }
    if (name === 'approve' && mine()?.decision === 'approve') return false;
    now.armed = name;
    now.problem = null;
    draw();
    const made = parts.decide.querySelector('form');
    made.querySelector('input[name="quick"]:checked, input[name="quick"]').focus({ preventScroll: true });
    made.scrollIntoView({ block: 'nearest' });
    return true;
  }

  return {
    element,
    act,
    /** Chooses a quick reason by its number, from 1. */
    choose(number) {
      const chip = parts.decide.querySelectorAll('input[name="quick"]')[number - 1];
      if (!chip) return false;
      chip.click();
      chip.focus({ preventScroll: true });
      return true;
    },
    /** Shows another review, blurred. */
    show(id) {
      stop?.();
      stop = null;
      now = blank(id);
      drawn = {};
      now.review = store.reviews.get(id) ?? null;
      draw();
      return load();
    },
    get review() { return now.review; },
    destroy() {
      clearInterval(timer);
      stop?.();
      store.removeEventListener('change', onChange);
    },
  };
}
