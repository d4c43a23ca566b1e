// The API: the token, single requests, and the stream of events.

const kTokenKey = 'weir-token';
const kSilentMs = 4000; // without an event the stream is taken for lost
const kRetryMs = 1000;

// "#token=..." in the address is taken once, and away: it is never sent as part of a URL.
export function takeTokenFromAddress() {
  const found = /^#token=(.+)$/.exec(location.hash);
  if (!found) return;
  setToken(decodeURIComponent(found[1]));
  history.replaceState(null, '', location.pathname);
}

export function setToken(token) {
  if (token) sessionStorage.setItem(kTokenKey, token);
  else sessionStorage.removeItem(kTokenKey);
}

export function hasToken() {
  return sessionStorage.getItem(kTokenKey) !== null;
}

function headers(more) {
  const token = sessionStorage.getItem(kTokenKey);
  return token === null ? more : { ...more, Authorization: `Bearer ${token}` };
}

export class ApiError extends Error {
  constructor(status, error) {
    super(error.message || `HTTP ${status}`);
    this.status = status;
    this.code = error.code || '';
    this.hint = error.hint || '';
  }
}

async function fail(response) {
  let error = {};
  try {
    error = (await response.json()).error || {};
  } catch {
    // Not JSON: the status must do.
  }
  throw new ApiError(response.status, error);
}

export async function get(path) {
  const response = await fetch(`/api/v1/${path}`, { headers: headers({}), cache: 'no-store' });
  if (!response.ok) await fail(response);
  return response.json();
}

export async function command(text) {
  const response = await fetch('/api/v1/commands', {
    method: 'POST',
    headers: headers({ 'Content-Type': 'application/json' }),
    body: JSON.stringify({ command: text }),
  });
  if (!response.ok) await fail(response);
  return response.json();
}

// Takes the complete events out of `text`; answers what is left.
function takeEvents(text, onEvent) {
  for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
    let name = '';
    let data = '';
    for (const line of text.slice(0, end).split('\n')) {
      if (line.startsWith('event: ')) name = line.slice(7);
      else if (line.startsWith('data: ')) data += line.slice(6);
    }
    if (name) onEvent(name, JSON.parse(data));
    text = text.slice(end + 2);
  }
  return text;
}

async function readEvents(onEvent, isOver) {
  const stop = new AbortController();
  let timer = 0;
  const alive = () => {
    clearTimeout(timer);
    timer = setTimeout(() => stop.abort(), kSilentMs);
  };
  alive();
  try {
    const response = await fetch('/api/v1/events', {
      headers: headers({}), cache: 'no-store', signal: stop.signal,
    });
    if (!response.ok) await fail(response);
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = '';
    for (;;) {
      const { done, value } = await reader.read();
      if (done || isOver()) break;
      alive();
      text = takeEvents(text + value, onEvent);
    }
  } finally {
    clearTimeout(timer);
    stop.abort();
  }
}

// Reads events until the returned function is called, again and again when the stream breaks.
// Not EventSource, which can send no Authorization. A refusal ends it: onRefused(error).
export function follow({ onEvent, onLost, onRefused }) {
  let over = false;
  const run = async () => {
    while (!over) {
      try {
        await readEvents(onEvent, () => over);
      } catch (error) {
        if (error instanceof ApiError && error.status !== 503) {
          if (!over) onRefused(error);
          return;
        }
      }
      if (over) return;
      onLost();
      await new Promise((resolve) => { setTimeout(resolve, kRetryMs); });
    }
  };
  run();
  return () => { over = true; };
}
