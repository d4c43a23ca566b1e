// The page: who looks, what is live, and what is drawn where.

import {
  ApiError, command, follow, get, hasToken, setToken, takeTokenFromAddress,
} from './live.js';
import { Charts, Points, showMs, showNumber } from './charts.js';
import { drawHosts, element, hostState, makeTables, setText } from './tables.js';

const at = (id) => document.getElementById(id);
const kRecentMs = 60_000; // over which "now" is told of statements

class Board {
  constructor() {
    this.points = new Points();
    this.charts = new Charts(this.points);
    this.tables = makeTables();
    this.isNew = true; // the stream: what was before it is asked for
    this.started = '';
    this.details = []; // of the last minute: {at, calls by statement}
    this.mayCommand = false;
  }

  async open() {
    const { may_command: mayCommand } = await get('access');
    this.mayCommand = mayCommand;
    at('commands').hidden = !mayCommand;
  }

  async begin(overview) {
    this.isNew = false;
    if (overview.started !== this.started) this.details = [];
    this.started = overview.started;
    this.points.boundsUs = overview.bounds_us;
    const { points } = await get('history');
    this.points.merge(points);
  }

  onOverview(overview) {
    if (this.isNew) this.begin(overview).catch(() => { this.isNew = true; });
    this.points.add(overview.point);
    this.overview = overview;
    this.draw();
  }

  draw() {
    if (document.hidden || !this.overview) return;
    const { overview } = this;
    const primaries = overview.hosts.rows.filter((host) => host.role === 'primary');
    this.charts.primaries = new Set(primaries.map((host) => `${host.cluster}/${host.host}`));
    this.charts.draw();
    this.drawHead();
    this.drawTiles();
    drawHosts(overview.hosts.rows, {
      colour: (host) => this.charts.hostColour(host),
      rate: (host) => this.points.latest()?.change?.hosts.get(host) ?? null,
      order: this.mayCommand ? order : null,
    });
    this.drawPools();
    this.drawDatabases();
    this.tables.faults.draw(overview.faults.rows, overview.faults.count);
    const reasons = Object.entries(overview.pins_by_reason);
    setText(at('pins-reasons'), reasons.map(([reason, n]) => `${reason}: ${n}`).join(', '));
  }

  drawHead() {
    const { overview } = this;
    const states = overview.hosts.rows.map((host) => hostState(host)[0]);
    const bad = states.filter((state) => state === 'bad').length;
    const warn = states.filter((state) => state === 'warn' || state === 'unknown').length;
    const clusters = new Set(overview.hosts.rows.map((host) => host.cluster));
    const led = new Set(overview.hosts.rows.filter((host) => host.role === 'primary'
      && host.state === 'up').map((host) => host.cluster));
    const without = clusters.size - led.size;
    const words = [];
    if (overview.draining) words.push('draining');
    if (without) words.push(without > 1 ? `${without} clusters without a primary` : 'no primary');
    if (bad) words.push(bad > 1 ? `${bad} hosts not in use` : '1 host not in use');
    if (warn) words.push(warn > 1 ? `${warn} hosts limited` : '1 host limited');
    if (overview.point.waiting) words.push(`${overview.point.waiting} waiting`);
    const kind = bad || without || overview.draining ? 'bad' : words.length ? 'warn' : 'good';
    at('health').className = `pill ${kind}`;
    setText(at('health'), words.join(', ') || 'all well');
    const mark = { good: '', warn: '! ', bad: '✕ ' }[kind];
    document.title = `${mark}Weir ${location.host}`;
    const hours = (new Date(overview.taken) - new Date(overview.started)) / 3_600_000;
    const up = hours < 48 ? `${hours.toFixed(1)} h` : `${Math.floor(hours / 24)} days`;
    setText(at('about'), `${overview.version} at ${location.host}, up ${up}`);
  }

  drawTiles() {
    const { point, change } = this.points.latest();
    const { overview } = this;
    const tiles = [
      ['requests /s', showNumber(change?.queries), ''],
      ['latency, 95 %', showMs(change?.query[1]), `median ${showMs(change?.query[0])}`],
      ['errors /s', showNumber(change?.errors), ''],
      ['waiting', showNumber(point.waiting),
        point.waiting ? `longest ${showMs(point.longest_wait_us / 1000)}` : 'for a connection'],
      ['clients', showNumber(point.clients), `of ${showNumber(overview.clients_max)}`],
      ['server connections', showNumber(point.servers), ''],
      ['pins', showNumber(point.pins), ''],
    ];
    const place = at('tiles');
    tiles.forEach(([label, value, note], i) => {
      if (!place.children[i]) {
        const tile = element('div', 'tile');
        tile.append(element('span', 'label'), element('b'), element('span', 'note'));
        place.append(tile);
      }
      const [name, number, more] = place.children[i].children;
      setText(name, label);
      setText(number, value);
      setText(more, note);
    });
    place.children[2].classList.toggle('bad', (change?.errors ?? 0) > 0);
    place.children[3].classList.toggle('bad', point.waiting > 0);
  }

  drawPools() {
    const { overview } = this;
    const sizes = new Map(overview.databases.rows.map((row) => [row.name, row.pool_size]));
    const rows = overview.host_pools.rows.map((row) => ({
      ...row, pool_size: sizes.get(row.database) || 0,
    }));
    const key = (row) => `${row.database}\n${row.user}\n${row.host}`;
    rows.sort((a, b) => (b.cl_waiting > 0) - (a.cl_waiting > 0) || (key(a) < key(b) ? -1 : 1));
    this.tables.pools.draw(rows, overview.host_pools.count);
  }

  drawDatabases() {
    const { overview } = this;
    const routed = new Map(overview.route_totals.rows.map((row) => [row.database, row]));
    const rows = overview.databases.rows.map((row) => {
      const route = routed.get(row.name) || {};
      const reads = (route.reads_on_replica || 0) + (route.reads_on_primary || 0);
      return {
        ...row, reads, split: reads ? route.reads_on_replica / reads : 0, writes: route.writes,
        errors: route.errors,
      };
    });
    rows.sort((a, b) => (a.name < b.name ? -1 : 1));
    this.tables.databases.draw(rows, overview.databases.count);
  }

  onDetail(detail) {
    const now = Date.parse(detail.taken);
    const key = (row) => `${row.shape}\n${row.database}\n${row.user}`;
    const { rows } = detail.statements;
    const all = rows.reduce((sum, row) => sum + row.total_ms, 0);
    const then = this.details.find((one) => one.at >= now - kRecentMs);
    for (const row of rows) {
      row.share = all ? row.total_ms / all : 0;
      const before = then?.calls.get(key(row));
      row.rate = before === undefined ? null
        : Math.max(0, row.calls - before) / ((now - then.at) / 1000);
    }
    this.details = this.details.filter((one) => one.at >= now - kRecentMs);
    this.details.push({ at: now, calls: new Map(rows.map((row) => [key(row), row.calls])) });
    this.tables.statements.draw(rows, detail.statements.count);
    for (const name of ['waits', 'pins']) {
      if (detail[name]) this.tables[name].draw(detail[name].rows, detail[name].count);
      else this.tables[name].say(`Too many clients to list them: SHOW ${name.toUpperCase()} does.`);
    }
  }
}

// --- orders -------------------------------------------------------------------------------------

const kToldMs = 15_000; // how long the outcome of a command is shown

async function run(text) {
  const result = at('command-result');
  clearTimeout(run.timer);
  run.timer = setTimeout(() => setText(result, ''), kToldMs);
  try {
    const done = await command(text);
    const words = done.done ? [`${done.command}: done`, ...done.notices]
      : [`${done.command}: under way`];
    setText(result, words.join('. '));
    result.className = 'good';
  } catch (error) {
    setText(result, [error.message, error.hint].filter(Boolean).join('. '));
    result.className = 'bad';
  }
}

function order(text) {
  setText(at('confirm-command'), text);
  const dialog = at('confirm');
  dialog.returnValue = '';
  dialog.showModal();
  dialog.onclose = () => {
    if (dialog.returnValue === 'yes') run(text);
  };
}

// --- who looks ----------------------------------------------------------------------------------

let board = null;
let stop = () => {};

function show(id) {
  for (const one of ['login', 'board']) at(one).hidden = one !== id;
  at('leave').hidden = id !== 'board' || !hasToken();
  at('ranges').hidden = id !== 'board';
}

function askToken(error) {
  stop();
  if (error.code === 'wrong_token') setToken(null);
  show('login');
  setText(at('live'), '');
  at('health').className = 'pill';
  setText(at('health'), 'signed out');
  setText(at('login-message'), error.code === 'no_token' ? '' : error.message);
  at('token-form').classList.toggle('closed', ['closed', 'name'].includes(error.code));
  at('token').focus();
}

function lost() {
  at('live').className = 'live bad';
  setText(at('live'), 'no data: trying again');
  at('board').classList.add('stale');
  at('health').className = 'pill';
  setText(at('health'), 'no data');
  document.title = `? Weir ${location.host}`;
  if (board) board.isNew = true;
}

function onEvent(name, data) {
  at('live').className = 'live';
  setText(at('live'), 'live');
  at('board').classList.remove('stale');
  if (name === 'overview') board.onOverview(data);
  else if (name === 'detail') board.onDetail(data);
}

async function enter() {
  try {
    board = board || new Board();
    await board.open();
    show('board');
    stop();
    stop = follow({ onEvent, onLost: lost, onRefused: askToken });
  } catch (error) {
    if (error instanceof ApiError && error.status !== 503) return askToken(error);
    lost();
    setTimeout(enter, 1000);
  }
}

at('token-form').addEventListener('submit', (event) => {
  event.preventDefault();
  setToken(at('token').value.trim());
  at('token').value = '';
  enter();
});
at('command-form').addEventListener('submit', (event) => {
  event.preventDefault();
  const text = at('command').value.trim();
  if (text) order(text);
});
at('leave').addEventListener('click', () => {
  setToken(null);
  location.reload();
});
at('ranges').addEventListener('click', (event) => {
  const seconds = Number(event.target.dataset.seconds);
  if (!seconds || !board) return;
  for (const button of at('ranges').children) {
    button.setAttribute('aria-pressed', String(button === event.target));
  }
  board.charts.seconds = seconds;
  board.charts.draw();
});
document.addEventListener('visibilitychange', () => board?.draw());

takeTokenFromAddress();
enter();
