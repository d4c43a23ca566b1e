// Points in time, what follows from two of them, and the charts of that.
/* global Chart */

const kGapMs = 30_000; // between two points: beyond, nothing is said of the time between them
const kLiveMs = 330_000; // so long each second's point is kept, then one in ten seconds
const kKeepMs = 3_660_000;

// --- what two points say ------------------------------------------------------------------------

// The quantile of what was counted between two histograms, in ms; null when nothing was. What is
// all in the first bucket is told by its mean: how it spreads there is not known.
export function quantile(share, from, to, boundsUs) {
  const counts = to.counts.map((count, i) => count - from.counts[i]);
  const all = counts.reduce((sum, count) => sum + count, 0);
  if (all <= 0) return null;
  if (counts[0] === all) return (to.sum_us - from.sum_us) / all / 1000;
  let rest = share * all;
  for (let i = 0; i < counts.length; ++i) {
    if (rest > counts[i] || counts[i] === 0) {
      rest -= counts[i];
      continue;
    }
    const lower = i === 0 ? 0 : boundsUs[i - 1];
    const upper = i < boundsUs.length ? boundsUs[i] : lower;
    return (lower + (upper - lower) * (rest / counts[i])) / 1000;
  }
  return boundsUs[boundsUs.length - 1] / 1000;
}

function between(a, b, boundsUs) {
  const seconds = (b.at_ms - a.at_ms) / 1000;
  const rate = (name) => Math.max(0, b[name] - a[name]) / seconds;
  const times = (name) => [0.5, 0.95, 0.99].map((q) => quantile(q, a[name], b[name], boundsUs));
  const before = new Map(a.hosts.map((host) => [host.host, host]));
  return {
    queries: rate('queries'),
    errors: rate('errors'),
    routes: ['reads_on_replica', 'reads_on_primary', 'writes'].map(rate),
    query: times('query'),
    wait: times('wait'),
    hosts: new Map(b.hosts.map((host) => {
      const old = before.get(host.host);
      const known = old && host.answered >= old.answered;
      return [host.host, known ? (host.answered + host.failed - old.answered - old.failed) / seconds
        : null];
    })),
  };
}

export class Points {
  constructor() {
    this.boundsUs = [];
    this.rows = []; // [{at, point, change}]: change is null behind a gap
  }

  // Of earlier times, too; those of a Weir that has ended stay.
  merge(history) {
    const all = [...history, ...this.rows.map((row) => row.point)];
    this.rows = [];
    for (const point of all.sort((a, b) => a.at_ms - b.at_ms)) this.append(point);
  }

  add(point) {
    this.append(point);
    if (this.rows.length % 60 === 0) this.thin(point.at_ms);
  }

  append(point) {
    const last = this.rows.at(-1)?.point;
    if (last && point.at_ms <= last.at_ms) return;
    const near = last && point.at_ms - last.at_ms < kGapMs && point.queries >= last.queries;
    const change = near ? between(last, point, this.boundsUs) : null;
    this.rows.push({ at: point.at_ms, point, change });
  }

  // What is old needs no point for each second.
  thin(now) {
    const { rows } = this;
    let kept = -Infinity;
    this.rows = [];
    for (const row of rows) {
      const isOld = row.at < now - kLiveMs;
      if (row.at < now - kKeepMs || (isOld && row.at - kept < 9000)) continue;
      kept = row.at;
      this.append(row.point);
    }
  }

  latest() {
    return this.rows.at(-1);
  }
}

// --- charts -------------------------------------------------------------------------------------

const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const clock = (ms, seconds) => new Date(ms).toLocaleTimeString([], {
  hour: '2-digit', minute: '2-digit', hourCycle: 'h23', ...(seconds ? { second: '2-digit' } : {}),
});

// Ten seconds, whole minutes, or ten of them.
function buildTicks(scale) {
  const all = scale.max - scale.min;
  const step = all > 600_000 ? 600_000 : all > 100_000 ? 60_000 : 10_000;
  scale.ticks = [];
  for (let at = Math.ceil(scale.min / step) * step; at <= scale.max; at += step) {
    scale.ticks.push({ value: at });
  }
}

export function showMs(ms) {
  if (ms === null || ms === undefined) return '–';
  if (ms === 0) return '0';
  if (ms < 0.995) return `${Math.round(ms * 1000)} µs`;
  if (ms < 9.95) return `${ms.toFixed(1)} ms`;
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  if (ms < 59_950) return `${(ms / 1000).toFixed(1)} s`;
  return `${Math.floor(ms / 60_000)} min ${Math.round((ms % 60_000) / 1000)} s`;
}

export function showNumber(n) {
  if (n === null || n === undefined) return '–';
  if (n >= 9_999_500) return `${(n / 1e6).toFixed(1)} M`;
  if (n >= 99_950) return `${(n / 1e3).toFixed(0)} k`;
  if (n >= 10 || Number.isInteger(n)) return Math.round(n).toLocaleString('en');
  return n.toFixed(1);
}

// series: [name, colour in CSS], values(row) of each; or one for each host, perHost(row, host).
const kCharts = {
  routes: {
    show: showNumber, stacked: true,
    series: [['reads on replicas', '--series-1'], ['reads on the primary', '--series-2'],
      ['writes', '--series-3']],
    values: (row) => row.change && row.change.routes,
  },
  traffic: { show: showNumber, perHost: (row, host) => row.change && row.change.hosts.get(host) },
  latency: {
    show: showMs,
    series: [['median', '--series-1'], ['95 %', '--series-2'], ['99 %', '--series-3']],
    values: (row) => row.change && row.change.query,
  },
  lag: {
    show: showMs,
    ofReplicas: true,
    perHost: (row, host) => row.point.hosts.find((one) => one.host === host)?.lag_ms,
  },
  wait: {
    show: showMs,
    series: [['median', '--series-1'], ['95 %', '--series-2'], ['99 %', '--series-3']],
    values: (row) => row.change && row.change.wait,
  },
  connections: {
    show: showNumber,
    series: [['clients', '--series-1'], ['to servers', '--series-2'], ['wait', '--bad']],
    values: (row) => [row.point.clients, row.point.servers, row.point.waiting],
  },
};

function options(chart) {
  return {
    animation: false, responsive: true, maintainAspectRatio: false, normalized: true,
    parsing: false, spanGaps: false, interaction: { mode: 'index', intersect: false },
    elements: { point: { radius: 0, hitRadius: 8 }, line: { borderWidth: 1.6, tension: 0 } },
    plugins: {
      legend: { display: false },
      tooltip: {
        callbacks: {
          title: (items) => (items.length ? clock(items[0].parsed.x, true) : ''),
          label: (item) => ` ${item.dataset.label}: ${chart.show(item.parsed.y)}`,
        },
      },
    },
    scales: {
      x: {
        type: 'linear',
        grid: { display: false },
        afterBuildTicks: buildTicks,
        ticks: { maxRotation: 0, callback: (ms) => clock(ms, ms % 60_000 !== 0) },
      },
      y: {
        beginAtZero: true, stacked: Boolean(chart.stacked),
        ticks: { maxTicksLimit: 5, callback: (value) => chart.show(value) },
      },
    },
  };
}

export class Charts {
  constructor(points) {
    this.points = points;
    this.seconds = 300;
    this.hosts = []; // in the order in which they were first seen: it gives them their colours
    this.primaries = new Set(); // "cluster/host"
    this.charts = {};
    for (const [name, chart] of Object.entries(kCharts)) {
      this.charts[name] = new Chart(document.getElementById(name), {
        type: 'line', data: { datasets: [] }, options: options(chart),
      });
    }
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.draw());
  }

  hostColour(host) {
    if (!this.hosts.includes(host)) this.hosts.push(host);
    return `--host-${(this.hosts.indexOf(host) % 8) + 1}`;
  }

  series(chart, rows) {
    if (!chart.perHost) {
      return chart.series.map(([label, colour], i) => ({
        label, colour, at: (row) => (chart.values(row) || [])[i] ?? null,
      }));
    }
    const hosts = new Set(rows.flatMap((row) => row.point.hosts.map((one) => one.host)));
    const shown = [...hosts].filter((host) => !chart.ofReplicas || !this.primaries.has(host));
    return shown.map((host) => ({
      label: host.slice(host.indexOf('/') + 1),
      colour: this.hostColour(host),
      at: (row) => chart.perHost(row, host) ?? null,
    }));
  }

  draw() {
    if (document.hidden) return;
    const now = this.points.latest()?.at ?? Date.now();
    const rows = this.points.rows.filter((row) => row.at >= now - this.seconds * 1000 - 10_000);
    for (const [name, chart] of Object.entries(kCharts)) this.drawOne(name, chart, rows, now);
  }

  drawOne(name, kind, rows, now) {
    const chart = this.charts[name];
    const all = this.series(kind, rows);
    chart.data.datasets.length = all.length;
    all.forEach((series, i) => {
      const colour = style(series.colour);
      chart.data.datasets[i] = Object.assign(chart.data.datasets[i] || {}, {
        label: series.label,
        borderColor: colour,
        backgroundColor: kind.stacked ? `${colour}55` : colour,
        fill: kind.stacked ? 'stack' : false,
        data: rows.map((row) => ({ x: row.at, y: series.at(row) })),
      });
    });
    const scales = chart.options.scales;
    // No further back than there is something, but a minute.
    const first = Math.min(rows[0]?.at ?? now, now - 60_000);
    scales.x.min = Math.max(now - this.seconds * 1000, first);
    scales.x.max = now;
    for (const scale of Object.values(scales)) {
      scale.ticks.color = style('--quiet');
      scale.grid.color = style('--line');
      scale.grid.borderColor = style('--line');
    }
    chart.update('none');
    this.drawLegend(name, kind, all, rows);
  }

  // With the latest value of each.
  drawLegend(name, kind, all, rows) {
    const legend = document.getElementById(`${name}-legend`);
    while (legend.children.length > all.length) legend.lastChild.remove();
    all.forEach((series, i) => {
      if (!legend.children[i]) {
        const item = document.createElement('span');
        item.append(document.createElement('i'), document.createElement('span'),
          document.createElement('b'));
        legend.append(item);
      }
      const [mark, label, value] = legend.children[i].children;
      mark.style.background = `var(${series.colour})`;
      label.textContent = series.label;
      const last = rows.length ? series.at(rows.at(-1)) : null;
      value.textContent = kind.show(last);
    });
  }
}
