// A headless Chromium that does what it is told: one JSON object a line on standard input, one
// answer a line on standard output. tests/support/browser.py speaks to it.
//
//   {"do": "open", "url": ..., "width": ..., "height": ..., "dark": bool}   a page of its own
//   {"do": "evaluate", "text": "() => ..."}      {"do": "fill", "selector": ..., "text": ...}
//   {"do": "click", "selector": ...}             {"do": "screenshot", "path": ...}
//   {"do": "complaints"}   what the console and the page have said is wrong, since it was opened
const readline = require('readline');
const { chromium } = require(process.argv[2]); // playwright-core's folder

let browser;
let page;
let complaints = [];

async function open({ url, width, height, dark }) {
  if (page) await page.context().close();
  complaints = [];
  const context = await browser.newContext({
    viewport: { width, height }, colorScheme: dark ? 'dark' : 'light', timezoneId: 'UTC',
    deviceScaleFactor: 1,
  });
  page = await context.newPage();
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('request', (request) => {
    const own = new URL(url).origin;
    if (!request.url().startsWith(own)) complaints.push(`outside: ${request.url()}`);
  });
  await page.goto(url);
}

const kDo = {
  open,
  evaluate: ({ text }) => page.evaluate(`(${text})()`),
  fill: ({ selector, text }) => page.fill(selector, text),
  click: ({ selector }) => page.click(selector),
  screenshot: ({ path }) => page.screenshot({ path, fullPage: true }),
  complaints: () => complaints,
};

async function main() {
  browser = await chromium.launch({
    executablePath: '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu'],
  });
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const told = JSON.parse(line);
    let answer;
    try {
      answer = { value: (await kDo[told.do](told)) ?? null };
    } catch (error) {
      answer = { error: String(error) };
    }
    if (Buffer.isBuffer(answer.value)) answer.value = null;
    process.stdout.write(`${JSON.stringify(answer)}\n`);
  }
  await browser.close();
}

main();
