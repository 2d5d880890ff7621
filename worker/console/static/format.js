// Numbers, times and statuses in words.

const NUMBER = new Intl.NumberFormat('en', { maximumFractionDigits: 1 });
const DATE = new Intl.DateTimeFormat('en', { dateStyle: 'medium', timeStyle: 'medium' });
const RELATIVE = new Intl.RelativeTimeFormat('en', { numeric: 'auto' });

/** What people read for a status, and the tone of its label. */
export const STATUS = {
  waiting: { label: 'Waiting for upload', tone: 'quiet' },
  uploaded: { label: 'Uploaded', tone: 'busy' },
  processing: { label: 'Processing', tone: 'busy' },
  review: { label: 'In review', tone: 'warn' },
  accepted: { label: 'Ready', tone: 'good' },
  published: { label: 'Published', tone: 'good' },
  rejected: { label: 'Rejected', tone: 'bad' },
  deleted: { label: 'Deleted', tone: 'quiet' },
};

/** What people read for a state of a review, and the tone of its label. */
export const REVIEW = {
  open: { label: 'Open', tone: 'warn' },
  approved: { label: 'Approved', tone: 'good' },
  rejected: { label: 'Rejected', tone: 'bad' },
  expired: { label: 'Expired', tone: 'quiet' },
  withdrawn: { label: 'Withdrawn', tone: 'quiet' },
};

const JOB_STATES = { SUBMITTED: 'Waiting', PENDING: 'Waiting', RUNNABLE: 'Waiting', STARTING: 'Starting', RUNNING: 'Running', SUCCEEDED: 'Done', FAILED: 'Failed' };

/** The text for a state of a job; few users know the states of AWS Batch. */
export function jobState(state) {
  return JOB_STATES[state] ?? words(state.toLowerCase());
}

/** Bytes in decimal units: `1.4 MB`. */
export function bytes(count) {
  if (count === undefined || count === null) return '';
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let value = count;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : NUMBER.format(value)} ${units[unit]}`;
}

const MONEY = new Intl.NumberFormat('en', { style: 'currency', currency: 'USD', minimumFractionDigits: 2, maximumFractionDigits: 2 });
const CENTS = new Intl.NumberFormat('en', { style: 'currency', currency: 'USD', maximumSignificantDigits: 2 });

/** A price without rounding: `$0.0000004`. */
export function price(dollars) {
  return `$${dollars.toLocaleString('en', { maximumFractionDigits: 12 })}`;
}

/** US dollars: `$12.40`, and below a dollar two significant digits: `$0.0042`. */
export function money(dollars) {
  return (dollars >= 1 || dollars === 0 ? MONEY : CENTS).format(dollars);
}

export function number(value) {
  return NUMBER.format(value);
}

/** A length of time in milliseconds: `840 ms`, `3.2 s`, `2 min 5 s`. */
export function duration(milliseconds) {
  if (!Number.isFinite(milliseconds)) return '';
  if (milliseconds < 1000) return `${Math.max(0, Math.round(milliseconds))} ms`;
  const seconds = milliseconds / 1000;
  if (seconds < 60) return `${NUMBER.format(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${Math.round(seconds % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** A length as players show it: `1:05`. */
export function clock(milliseconds) {
  const seconds = Math.round(milliseconds / 1000);
  const rest = String(seconds % 60).padStart(2, '0');
  const minutes = Math.floor(seconds / 60);
  return minutes < 60 ? `${minutes}:${rest}` : `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, '0')}:${rest}`;
}

/** A moment: `Nov 29, 2026, 2:03:11 PM`. */
export function moment(iso) {
  const date = new Date(iso);
  return Number.isNaN(date.getTime()) ? '' : DATE.format(date);
}

/** How long ago: `3 minutes ago`. */
export function ago(iso) {
  const seconds = (Date.now() - new Date(iso).getTime()) / 1000;
  if (!Number.isFinite(seconds)) return '';
  if (seconds < 5) return 'just now';
  for (const [unit, size] of [['day', 86_400], ['hour', 3_600], ['minute', 60]]) {
    if (seconds >= size) return RELATIVE.format(-Math.round(seconds / size), unit);
  }
  return RELATIVE.format(-Math.round(seconds), 'second');
}

const HOUR = 3_600_000;

/**
 * How long there is until a deadline: `2 h 5 min left`, and the tone of it.
 * @param {string} iso empty: there is no deadline
 * @returns {{text: string, tone: string}}
 */
export function timeLeft(iso) {
  if (!iso) return { text: 'No deadline', tone: 'quiet' };
  const left = new Date(iso).getTime() - Date.now();
  if (!(left > 0)) return { text: `Due ${ago(iso)}`, tone: 'bad' };
  const minutes = Math.floor(left / 60_000);
  const text = left >= 48 * HOUR ? `${Math.floor(left / HOUR / 24)} d ${Math.floor(left / HOUR) % 24} h`
    : left >= HOUR ? `${Math.floor(minutes / 60)} h ${minutes % 60} min`
    : minutes ? `${minutes} min` : `${Math.ceil(left / 1000)} s`;
  return { text: `${text} left`, tone: left < HOUR / 4 ? 'bad' : left < 2 * HOUR ? 'warn' : 'quiet' };
}

/** A text that begins a line. */
export function capital(text) { return text.charAt(0).toUpperCase() + text.slice(1); }

/** A code as words: `unknown_format` becomes `Unknown format`. */
export function words(code) { return capital(String(code).replace(/[_.-]+/g, ' ').trim()); }

export function plural(count, one, many = `${one}s`) {
  return `${NUMBER.format(count)} ${count === 1 ? one : many}`;
}
