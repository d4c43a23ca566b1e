// Tables and cards. What comes from clients and servers is set as text, never as markup.

import { showMs, showNumber } from './charts.js';

// --- elements -----------------------------------------------------------------------------------

export function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

const kSeverities = { info: 'i', warning: '!', error: '✕' };

export const showTime = (iso) => {
  const date = new Date(iso);
  const time = date.toLocaleTimeString([], { hour12: false });
  return date.toDateString() === new Date().toDateString() ? time
    : `${date.toLocaleDateString([], { month: 'short', day: 'numeric' })} ${time}`;
};

// --- tables -------------------------------------------------------------------------------------

// columns: {head, text(row) or draw(cell, row), kind: class of the cells}. Rows are reused, so that
// what a reader has selected or opened stays.
export class Table {
  constructor(id, columns, empty) {
    this.table = document.getElementById(id);
    this.columns = columns;
    const head = element('tr');
    for (const column of columns) {
      const cell = element('th', column.kind, column.head);
      cell.scope = 'col';
      head.append(cell);
    }
    const top = element('thead');
    top.append(head);
    this.body = element('tbody');
    this.note = element('caption', '', empty);
    this.empty = empty;
    this.table.append(this.note, top, this.body);
  }

  draw(rows, count = rows.length) {
    while (this.body.rows.length > rows.length) this.body.lastChild.remove();
    rows.forEach((row, i) => {
      let line = this.body.rows[i];
      if (!line) {
        line = this.body.insertRow();
        for (const column of this.columns) line.append(element('td', column.kind));
      }
      this.columns.forEach((column, at) => {
        const cell = line.cells[at];
        if (column.draw) column.draw(cell, row, line);
        else setText(cell, column.text(row));
      });
    });
    this.table.classList.toggle('empty', rows.length === 0);
    setText(this.note, rows.length === 0 ? this.empty
      : rows.length < count ? `${rows.length} of ${count}` : '');
  }

  say(text) {
    this.draw([]);
    setText(this.note, text);
  }
}

// A text that may be long: two lines of it, all of it at a click.
function drawLong(cell, text) {
  let inner = cell.firstChild;
  if (!inner) {
    inner = element('button', 'long');
    inner.type = 'button';
    inner.addEventListener('click', () => inner.classList.toggle('open'));
    cell.append(inner);
  }
  setText(inner, text ?? '');
}

function drawBar(cell, share, text, kind) {
  if (!cell.firstChild) {
    const bar = element('span', 'bar');
    bar.append(element('span'));
    cell.append(bar, element('span', 'amount'));
    cell.classList.add('measure');
  }
  const [bar, amount] = cell.children;
  bar.firstChild.style.width = `${Math.round(100 * Math.min(1, Math.max(0, share)))}%`;
  bar.className = kind ? `bar ${kind}` : 'bar';
  setText(amount, text);
}

export function makeTables() {
  return {
    pools: new Table('pools', [
      { head: 'database / user', draw: drawOwner },
      { head: 'host', text: (row) => row.host },
      { head: 'waiting', kind: 'number', draw: drawWaiting },
      { head: 'clients', kind: 'number', text: (row) => showNumber(row.cl_active) },
      {
        head: 'connections in use', draw: (cell, row) => {
          const open = row.sv_active + row.sv_idle + row.sv_used + row.sv_login;
          drawBar(cell, row.sv_active / Math.max(row.pool_size || open, 1),
            `${row.sv_active} of ${row.pool_size || open}`, row.cl_waiting ? 'bad' : '');
        },
      },
      { head: 'idle', kind: 'number wide', text: (row) => showNumber(row.sv_idle + row.sv_used) },
    ], 'No pool yet: nobody has asked for anything.'),
    faults: new Table('faults', [
      { head: 'when', kind: 'time', draw: drawWhen },
      { head: 'what', draw: drawFault },
    ], 'Nothing has gone wrong or changed.'),
    statements: new Table('statements', [
      { head: 'statement', kind: 'statement', draw: (cell, row) => drawLong(cell, row.statement) },
      { head: 'database / user', kind: 'wide', draw: drawOwner },
      {
        head: 'share of time', draw: (cell, row) => drawBar(cell, row.share,
          `${Math.round(100 * row.share)} %`),
      },
      { head: 'calls', kind: 'number', text: (row) => showNumber(row.calls) },
      { head: 'now /s', kind: 'number', text: (row) => showNumber(row.rate) },
      { head: 'mean', kind: 'number', text: (row) => showMs(row.mean_ms) },
      { head: '95 %', kind: 'number', text: (row) => showMs(row.p95_ms) },
      {
        head: 'waited', kind: 'number wide',
        text: (row) => showMs(row.calls ? row.wait_ms / row.calls : null),
      },
      {
        head: 'on replicas', kind: 'number wide', text: (row) => {
          const all = row.on_primary + row.on_replica;
          return all ? `${Math.round((100 * row.on_replica) / all)} %` : '–';
        },
      },
      {
        head: 'errors', kind: 'number', draw: (cell, row) => {
          setText(cell, showNumber(row.errors));
          cell.classList.toggle('bad', row.errors > 0);
        },
      },
    ], 'No statement was counted yet.'),
    waits: new Table('waits', [
      { head: 'for', draw: (cell, row) => drawTwo(cell, row.waits_for, row.host || '') },
      { head: 'database / user', draw: drawOwner },
      {
        head: 'client', kind: 'wide',
        draw: (cell, row) => drawTwo(cell, row.application_name, `#${row.client}`),
      },
      { head: 'since', kind: 'number', text: (row) => showMs(row.waited_ms) },
    ], 'Nobody waits.'),
    pins: new Table('pins', [
      { head: 'for', draw: (cell, row) => drawTwo(cell, row.reason, row.host || '') },
      { head: 'statement', kind: 'statement', draw: (cell, row) => drawLong(cell, row.statement) },
      {
        head: 'who', kind: 'wide',
        draw: (cell, row) => drawTwo(cell, row.application_name || row.user,
          `${row.database} #${row.client}`),
      },
      { head: 'since', kind: 'number', text: (row) => showMs(row.age_ms) },
    ], 'Nobody keeps a connection of his own.'),
    databases: new Table('databases', [
      { head: 'database', draw: drawDatabase },
      {
        head: 'clients', kind: 'number',
        text: (row) => showNumber(row.current_client_connections),
      },
      { head: 'reads on replicas', draw: (cell, row) => drawBar(cell, row.split,
        row.reads ? `${Math.round(100 * row.split)} %` : '–') },
      { head: 'writes', kind: 'number', text: (row) => showNumber(row.writes) },
      { head: 'errors', kind: 'number', text: (row) => showNumber(row.errors) },
    ], 'No database has clients.'),
  };
}

function drawTwo(cell, first, second) {
  if (!cell.firstChild) cell.append(element('span', 'first'), element('span', 'second'));
  setText(cell.children[0], first || '–');
  setText(cell.children[1], second || '');
}

function drawOwner(cell, row) {
  drawTwo(cell, row.database, row.user);
}

function drawWaiting(cell, row) {
  setText(cell, row.cl_waiting ? `${row.cl_waiting} for ${showMs(row.maxwait_us / 1000)}` : '0');
  cell.classList.toggle('bad', row.cl_waiting > 0);
}

function drawWhen(cell, row) {
  setText(cell, showTime(row.last_seen));
  cell.title = new Date(row.last_seen).toString();
}

function drawFault(cell, row) {
  if (!cell.firstChild) {
    cell.append(element('span', 'mark'), element('b'), element('span', 'what'),
      element('span', 'second'));
  }
  const [mark, subject, what, times] = cell.children;
  mark.className = `mark ${row.severity in kSeverities ? row.severity : 'info'}`;
  mark.title = row.severity;
  setText(mark, kSeverities[row.severity] || 'i');
  setText(subject, row.subject);
  setText(what, row.what);
  setText(times, row.times > 1 ? `${row.kind}, ${row.times} times` : row.kind);
}

function drawDatabase(cell, row) {
  const state = row.paused ? 'paused' : row.disabled ? 'disabled' : '';
  drawTwo(cell, row.name, state);
  cell.classList.toggle('bad', state !== '');
}

// --- hosts --------------------------------------------------------------------------------------

// How well a host does: its class, and the word for it.
export function hostState(host) {
  if (['down', 'refused', 'fenced'].includes(host.state)) return ['bad', host.state];
  if (host.state === 'unknown') return ['unknown', 'unknown'];
  if (host.paused) return ['warn', 'paused'];
  if (host.banned) return ['warn', 'banned'];
  if (host.breaker !== 'closed') return ['warn', `breaker ${host.breaker}`];
  if (host.state === 'lagging') return ['warn', 'lagging'];
  if (host.role === 'replica' && !host.reads) return ['warn', 'no reads'];
  return ['good', 'up'];
}

function hostCard() {
  const card = element('article', 'host');
  const top = element('div', 'top');
  top.append(element('i', 'swatch'), element('b', 'name'), element('span', 'role'),
    element('span', 'state'));
  const facts = element('dl');
  for (const fact of ['requests /s', 'in use', 'latency', 'lag']) {
    facts.append(element('dt', '', fact), element('dd'));
  }
  card.append(top, facts, element('p', 'why'), element('div', 'orders'));
  return card;
}

function drawOrders(box, host, order) {
  const quoted = (name) => `"${name.replaceAll('"', '""')}"`;
  const target = `${quoted(host.host)} ${quoted(host.cluster)}`;
  const wanted = [
    host.banned ? ['Unban', `UNBAN ${target}`] : ['Ban', `BAN ${target}`],
    host.paused ? ['Resume', `RESUME HOST ${target}`] : ['Pause', `PAUSE HOST ${target}`],
  ];
  wanted.forEach(([label, command], i) => {
    if (!box.children[i]) {
      const button = element('button');
      button.type = 'button';
      button.addEventListener('click', () => order(button.dataset.command));
      box.append(button);
    }
    setText(box.children[i], label);
    box.children[i].dataset.command = command;
  });
}

// colour(host), rate(host): of "cluster/host". order: null, or what runs a command.
export function drawHosts(hosts, { colour, rate, order }) {
  const place = document.getElementById('clusters');
  const clusters = byCluster(hosts);
  while (place.children.length > clusters.size) place.lastChild.remove();
  [...clusters].forEach(([name, members], i) => {
    if (!place.children[i]) {
      const cluster = element('div', 'cluster');
      const topology = element('div', 'topology');
      topology.append(element('div', 'cards'), element('span', 'flow', '→'),
        element('div', 'cards'));
      cluster.append(element('h3'), topology);
      place.append(cluster);
    }
    const [title, topology] = place.children[i].children;
    const primary = members.filter((host) => host.role === 'primary' && host.state === 'up');
    setText(title, primary.length ? name : `${name}: no primary`);
    title.classList.toggle('bad', primary.length === 0);
    const [leaders, flow, followers] = topology.children;
    const leads = (host) => host.role === 'primary';
    for (const [cards, some] of [[leaders, members.filter(leads)],
      [followers, members.filter((host) => !leads(host))]]) {
      while (cards.children.length > some.length) cards.lastChild.remove();
      some.forEach((host, at) => {
        if (!cards.children[at]) cards.append(hostCard());
        drawHost(cards.children[at], host, colour, rate, order);
      });
    }
    flow.hidden = !leaders.children.length || !followers.children.length;
    leaders.hidden = !leaders.children.length;
  });
}

function byCluster(hosts) {
  const groups = new Map();
  for (const host of hosts) groups.set(host.cluster, [...(groups.get(host.cluster) || []), host]);
  return groups;
}

function drawHost(card, host, colour, rate, order) {
  const id = `${host.cluster}/${host.host}`;
  const [kind, word] = hostState(host);
  card.className = `host ${kind} is-${host.role}`;
  card.dataset.host = id;
  const [top, facts, why, orders] = card.children;
  const [swatch, name, role, state] = top.children;
  swatch.style.background = `var(${colour(id)})`;
  setText(name, host.host);
  card.title = host.address || '';
  setText(role, host.role);
  setText(state, word);
  const values = facts.querySelectorAll('dd');
  setText(values[0], showNumber(rate(id)));
  setText(values[1], `${showNumber(host.active)} of ${showNumber(host.open)}`);
  setText(values[2], host.latency_us === null ? '–' : showMs(host.latency_us / 1000));
  setText(values[3], host.role === 'primary' ? '–' : showMs(host.lag_ms));
  setText(why, host.why || '');
  if (order) drawOrders(orders, host, order);
}
