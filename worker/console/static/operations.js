// What the pipeline is doing: queues, rates, errors, dead letters, jobs.

import { call, config } from './api.js';
import { button, confirm, fill, h, icon, toast } from './dom.js';
import { ago, bytes, duration, jobState, money, number, plural, price, words } from './format.js';
import { bar, plot } from './plot.js';

const EVERY = 2_000; // milliseconds
const KEPT = 120; // samples of the plots: four minutes

export function operationsView() {
  if (config.operations === false) return { element: elsewhere(), title: 'Operations', destroy() {} };
  const samples = [];
  const parts = { figures: h('div.figures'), errors: h('div.body'), letters: h('div.body'), cost: h('div.body'), metrics: region('Metrics so far'), jobs: region('All jobs'), when: h('span.soft.small', { role: 'status' }) };
  const element = h('div', {},
    h('div.page-head', {}, h('h1', {}, 'Operations'), parts.when),
    parts.figures,
    h('div.two', {},
      section('Errors by reason', 'errors', parts.errors),
      section('Dead letters', 'letters', parts.letters)),
    h('div.stack', {},
      section('Cost so far', 'cost', parts.cost),
      section('Metrics', 'metrics', parts.metrics),
      section('Jobs', 'jobs', parts.jobs)));
  let timer = 0;
  let gone = false;
  let costed = '';
  let counted = '';
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
    const cost = JSON.stringify(now.cost);
    if (cost !== costed) drawCost(parts.cost, now.cost); // a list that is open stays so
    costed = cost;
    const metrics = JSON.stringify(now.metrics);
    if (metrics !== counted) drawMetrics(parts.metrics, now.metrics);
    counted = metrics;
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

/** A table that scrolls sideways, also by keyboard. */
function region(label, ...inside) { return h('div.table-wrap', { tabIndex: 0, role: 'region', aria: { label } }, ...inside); }

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

const PARTS = { compute: 'Lambda', requests: 'Requests', catalog: 'DynamoDB', jobs: 'Machines for jobs' };

function drawCost(place, cost) {
  if (!cost.objects && !cost.job_hours) {
    fill(place, h('p.soft.small', {}, 'Nothing was counted yet.'));
    return;
  }
  const most = Math.max(...Object.values(cost.parts));
  const open = place.querySelector('details')?.open ?? false;
  const days = cost.days.map((one) => one.usd);
  const today = cost.days.at(-1);
  fill(place,
    h('p.soft.small', {}, 'What this work would have cost on AWS, at list prices and without the free tier.'),
    h('div.costs', {},
      h('dl.sums', {},
        sum_('So far', money(cost.usd), `${plural(cost.objects, 'upload')}, ${plural(cost.days.length, 'day')}`),
        cost.thousand_usd === null ? null : sum_('A thousand pictures', money(cost.thousand_usd), 'without jobs'),
        sum_(today.day, money(today.usd), 'the latest day'),
        sum_('Storage', money(cost.storage_month_usd), `a month, for ${bytes(cost.stored_bytes)}`)),
      h('ul.reasons', {}, Object.entries(cost.parts).map(([name, usd]) => h('li', {}, h('span', {}, PARTS[name]), h('span.num', {}, money(usd)), bar(most ? usd / most : 0))))),
    days.length > 1 ? plot([days], 'US dollars a day') : null,
    h('details.small', { open },
      h('summary', {}, 'Prices and assumptions'),
      h('p.soft', {}, cost.left_out),
      region('Prices and assumptions', h('table', {},
        h('thead', {}, h('tr', {}, ['Figure', 'What it is', 'Source', 'Noted'].map((text) => h(['Figure', 'Noted'].includes(text) ? 'th.num' : 'th', { scope: 'col' }, text)))),
        h('tbody', {}, cost.figures.map((one) => h('tr', {},
          h('td.num', {}, one.usd ? price(one.value) : String(one.value)),
          h('td', {}, one.of),
          h('td', {}, one.source.startsWith('https://') ? h('a', { href: one.source, target: '_blank', rel: 'noopener noreferrer' }, new URL(one.source).hostname) : h('span.mono', {}, one.source)),
          h('td.num', {}, one.noted))))))));
}

function sum_(title, value, unit) {
  return h('div', {}, h('dt', {}, title), h('dd', {}, h('span.value', {}, value), ' ', h('span.soft', {}, unit)));
}

/** What functions and jobs have counted: the metrics that CloudWatch has on AWS. */
function drawMetrics(place, metrics) {
  if (!metrics.length) {
    fill(place, h('div.body', {}, h('p.soft.small', {}, 'Nothing was counted yet.')));
    return;
  }
  fill(place, h('table', {},
    h('thead', {}, h('tr', {}, ['Metric', 'Of', 'Statistic', 'Figure', 'Values'].map((text) => h(['Figure', 'Values'].includes(text) ? 'th.num' : 'th', { scope: 'col' }, text)))),
    h('tbody', {}, metrics.map((one) => h('tr', {},
      h('td', {}, one.metric),
      h('td.soft', {}, Object.entries(one.dimensions).map(([name, value]) => `${name}: ${value}`).join(' · ')),
      h('td.soft', {}, one.statistic),
      h('td.num', {}, one.text),
      h('td.num', {}, number(one.values)))))));
}

const TONES = { SUCCEEDED: 'good', FAILED: 'bad', RUNNING: 'busy', STARTING: 'busy' };

function drawJobs(place, jobs) {
  if (!jobs.length) {
    fill(place, h('div.body', {}, h('p.soft.small', {}, 'No jobs yet. Videos and very large pictures start some.')));
    return;
  }
  fill(place, h('table', {},
    h('thead', {}, h('tr', {}, ['Kind', 'State', 'Progress', 'Took', 'Started', 'What it says'].map((text) => h(text === 'Took' ? 'th.num' : 'th', { scope: 'col' }, text)))),
    h('tbody', {}, jobs.map((job) => h('tr', {},
      h('td', {}, words(job.kind)),
      h('td', {}, h('span.badge', { data: { tone: TONES[job.state] ?? 'quiet' } }, jobState(job.state))),
      h('td', {}, job.progress === null ? '' : h('progress', { max: 1, value: job.progress, className: job.state === 'SUCCEEDED' ? 'good' : '', aria: { label: `Progress of ${job.kind}` } })),
      h('td.num', {}, job.started_at ? duration(new Date(job.stopped_at || Date.now()) - new Date(job.started_at)) : ''),
      h('td', {}, job.created_at ? ago(job.created_at) : ''),
      h('td.soft', {}, job.trouble || (job.state === 'SUCCEEDED' ? '' : job.reason || job.doing)))))));
}

/** The links and commands with which an administrator watches a deployed stack. */
function elsewhere() {
  const command = (text) => h('code', {}, text);
  return h('div.empty', {}, icon('pulse'), h('h1', {}, 'Operations are shown elsewhere'),
    h('p', {}, 'Live queues, rates and dead letters on this page are a part of the local stack. This stack runs on AWS: its figures and alarms are in CloudWatch.'),
    config.dashboard ? h('p', {}, h('a', { href: config.dashboard, rel: 'noreferrer' }, 'Open the dashboard')) : null,
    h('p', {}, 'Dead letters and jobs are in the commands ', command('safelight dlq'), ' and ', command('safelight jobs'), '.'));
}
