// What the pipeline is doing: queues, rates, errors, dead letters, jobs.

import { call, config } from './api.js';
import { button, confirm, fill, h, icon, toast } from './dom.js';
import { ago, duration, number, plural, words } from './format.js';
import { bar, plot } from './plot.js';

const EVERY = 2_000; // milliseconds
const KEPT = 120; // samples of the plots: four minutes

export function operationsView() {
  if (config.operations === false) return { element: elsewhere(), title: 'Operations', destroy() {} };
  const samples = [];
  const parts = { figures: h('div.figures'), errors: h('div.body'), letters: h('div.body'), jobs: h('div.table-wrap', { tabIndex: 0, role: 'region', aria: { label: 'All jobs' } }), when: h('span.soft.small', { role: 'status' }) };
  const element = h('div', {},
    h('div.page-head', {}, h('h1', {}, 'Operations'), parts.when),
    parts.figures,
    h('div.two', {},
      section('Errors by reason', 'errors', parts.errors),
      section('Dead letters', 'letters', parts.letters)),
    section('Jobs', 'jobs', parts.jobs));
  let timer = 0;
  let gone = false;
  const load = async () => {
    clearTimeout(timer);
    try {
      const now = await call('GET', '/operations');
      if (gone) return;
      samples.push({ waiting: sum(now.queues, 'waiting'), dead: sum(now.queues, 'dead'), running: now.jobs.filter(busy).length });
      if (samples.length > KEPT) samples.shift();
      draw(now);
      parts.when.textContent = 'Live, every 2 seconds';
    } catch (error) {
      if (gone) return;
      if (error.status === 404) {
        fill(element, h('div.empty', {}, icon('pulse'), h('h1', {}, 'No operations here'), h('p', {}, 'This API does not tell how the pipeline is doing.')));
        return;
      }
      if (error.status === 403) {
        fill(element, h('div.empty', {}, icon('key'), h('h1', {}, 'For administrators'), h('p', {}, error.message)));
        return;
      }
      parts.when.textContent = error.message;
    }
    timer = setTimeout(load, document.hidden ? 5 * EVERY : EVERY);
  };

  const draw = (now) => {
    const minutes = now.minutes;
    const recent = minutes.slice(-5);
    const done = sum(recent, 'accepted') + sum(recent, 'rejected');
    const failed = sum(recent, 'rejected');
    const dead = sum(now.queues, 'dead');
    const past = (name) => samples.map((one) => one[name]);
    fill(parts.figures,
      figure('Waiting in queues', number(sum(now.queues, 'waiting')), `${number(sum(now.queues, 'taken'))} in work`, plot([past('waiting')], 'Messages that wait')),
      figure('Processed', number(done / recent.length), 'a minute', plot([minutes.map((one) => one.accepted + one.rejected)], 'Assets processed each minute')),
      figure('Rejected', done ? `${number(Math.round((failed / done) * 1000) / 10)} %` : '0 %', 'in five minutes', plot([minutes.map((one) => one.rejected)], 'Assets rejected each minute', 'second')),
      figure('Dead letters', number(dead), dead ? 'wait for a person' : 'none', plot([past('dead')], 'Dead letters', 'second'), dead ? 'bad' : ''),
      figure('Jobs', number(now.jobs.filter(busy).length), 'in work or waiting', plot([past('running')], 'Jobs in work or waiting')));
    drawErrors(parts.errors, now.errors);
    if (!parts.letters.contains(document.activeElement)) drawLetters(parts.letters, now.dead_letters, load);
    drawJobs(parts.jobs, now.jobs);
  };

  load();
  return {
    element,
    title: 'Operations',
    destroy() {
      gone = true;
      clearTimeout(timer);
    },
  };
}

function section(title, id, body) {
  return h('section.card', { aria: { labelledby: id } }, h('header', {}, h('h2', { id }, title)), body);
}

function busy(job) { return !['SUCCEEDED', 'FAILED'].includes(job.state); }

function sum(list, name) { return list.reduce((total, one) => total + one[name], 0); }

function figure(title, value, unit, drawing, tone = '') {
  return h('section.card.figure', { data: { tone } }, h('h2', {}, title), h('p.value', {}, value, h('small', {}, unit)), drawing);
}

function drawErrors(place, errors) {
  if (!errors.length) {
    fill(place, h('p.soft.small', {}, 'Nothing was rejected since the stack started.'));
    return;
  }
  const most = Math.max(...errors.map((one) => one.count));
  fill(place, h('ul.reasons', {}, errors.map((one) => h('li', {},
    h('span', {}, h('strong', {}, words(one.code))), h('span.num', {}, number(one.count)),
    bar(one.count / most),
    one.message ? h('span.detail', {}, one.message) : null))));
}

function drawLetters(place, letters, load) {
  if (!letters.length) {
    fill(place, h('p.soft.small', {}, 'No message has failed too often.'));
    return;
  }
  const redrive = async (letter) => {
    if (!await confirm('Send these messages back?', `${plural(letter.count, 'message')} of ${letter.queue} with the cause ${letter.cause} will be tried again. What is recorded already changes nothing.`, 'Send back')) return;
    try {
      const answer = await call('POST', '/operations/redrive', { body: { cause: letter.cause } });
      toast(`${plural(answer.sent, 'message')} sent back.`);
    } catch (error) {
      toast(error.message, { bad: true });
    }
    load();
  };
  fill(place, h('ul.reasons', {}, letters.map((letter) => h('li', {},
    h('span', {}, h('strong', {}, words(letter.cause)), ` · ${letter.queue}`), h('span.num', {}, number(letter.count)),
    h('span.detail', {}, [letter.reason, letter.oldest ? `the oldest came ${ago(letter.oldest)}` : ''].filter(Boolean).join(' · ')),
    h('span.actions', {}, button('Send back', 'retry', () => redrive(letter), { kind: 'small' }))))));
}

const TONES = { SUCCEEDED: 'good', FAILED: 'bad', RUNNING: 'busy', STARTING: 'busy' };

function drawJobs(place, jobs) {
  if (!jobs.length) {
    fill(place, h('div.body', {}, h('p.soft.small', {}, 'No jobs yet. Videos and very large pictures start some.')));
    return;
  }
  fill(place, h('table', {},
    h('thead', {}, h('tr', {}, ['Kind', 'State', 'Progress', 'Took', 'Started', 'What it says'].map((text) => h('th', { scope: 'col' }, text)))),
    h('tbody', {}, jobs.map((job) => h('tr', {},
      h('td', {}, words(job.kind)),
      h('td', {}, h('span.badge', { data: { tone: TONES[job.state] ?? 'quiet' } }, words(job.state.toLowerCase()))),
      h('td', {}, job.progress === null ? '' : h('progress', { max: 1, value: job.progress, className: job.state === 'SUCCEEDED' ? 'good' : '', aria: { label: `Progress of ${job.kind}` } })),
      h('td.num', {}, job.started_at ? duration(new Date(job.stopped_at || Date.now()) - new Date(job.started_at)) : ''),
      h('td', {}, job.created_at ? ago(job.created_at) : ''),
      h('td.soft', {}, job.trouble || (job.state === 'SUCCEEDED' ? '' : job.reason || job.doing)))))));
}

/** Where a deployed stack shows how it is doing. */
function elsewhere() {
  const command = (text) => h('code', {}, text);
  return h('div.empty', {}, icon('pulse'), h('h1', {}, 'Operations are shown elsewhere'),
    h('p', {}, 'Live queues, rates and dead letters on this page are a part of the local stack. This stack runs on AWS: its figures and alarms are in CloudWatch.'),
    config.dashboard ? h('p', {}, h('a', { href: config.dashboard, rel: 'noreferrer' }, 'Open the dashboard')) : null,
    h('p', {}, 'Dead letters and jobs are in the commands ', command('safelight dlq'), ' and ', command('safelight jobs'), '.'));
}
