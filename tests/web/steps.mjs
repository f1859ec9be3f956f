// What an operator does, in order; each step goes on where the one before ended. See tests/web/run for the traffic.
import assert from "node:assert/strict";
import { existsSync, writeFileSync } from "node:fs";

const PAGES = [
  ["/", "Overview", ".bars li"],
  ["/flows", "Flows", ".flows .row"],
  ["/live", "Live", ".flows .row"],
  ["/denied", "Denied", ".denied .row"],
  ["/agents", "Agents", ".cards .row"],
  ["/integrity", "Integrity", ".cards .row"],
];
// Those of the view that the URL names, and not of the one before.
const ROWS = ".flows[aria-busy=false] .row";
const MANY = 300_000; // as tests/web/run asks for
const DENIED_RULE = "198.51.100.7/32:80/tcp";

export const steps = [
  ["without a session every page asks to sign in", async ({ tab, shoot }) => {
    await tab.open("/flows?verdict=drop");
    await tab.has("#token");
    await shoot("login-light");
  }],

  ["a wrong token is refused with a reason", async ({ tab }) => {
    tab.expected = [/401/];
    await tab.click("#token");
    await tab.type("not-a-token");
    await tab.press("Enter");
    await tab.until("document.querySelector('#login-error').innerText.length > 10", "the reason");
  }],

  ["signing in leads to the view that was asked for", async ({ tab, token }) => {
    await tab.eval("document.querySelector('#token').value = ''");
    await tab.click("#token");
    await tab.type(token);
    await tab.press("Enter");
    await tab.has(".flows .row");
    assert.equal(await tab.url(), "/flows?verdict=drop");
    assert.equal(await tab.eval("document.cookie"), "", "the session's cookie is not for scripts");
  }],

  ["the page's headers allow this host only, and no inline script runs", async ({ tab }) => {
    const policy = await tab.eval("fetch('/').then((answer) => answer.headers.get('content-security-policy'))");
    assert.match(policy, /default-src 'self'/);
    assert.doesNotMatch(policy, /unsafe/);
    assert.equal(await tab.eval("fetch('/assets/none.js').then((answer) => answer.status)").catch((e) => e.message), 404);
    tab.problems = tab.problems.filter((text) => !text.includes("/assets/none.js"));
  }],

  ...PAGES.flatMap(([path, name, row]) => ["light", "dark"].map((theme) => [`${name} in ${theme}`, async ({ tab, shoot }) => {
    await tab.theme(theme);
    await tab.open(path);
    await tab.has(row);
    assert.equal(await tab.eval("document.title"), `${name} · Lattice`);
    const background = await tab.eval("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)[0]");
    assert.ok(theme === "dark" ? background < 60 : background > 200, `the background is ${background}`);
    await new Promise((resolve) => setTimeout(resolve, 300)); // the charts draw in the next frame
    await shoot(`${name.toLowerCase()}-${theme}`);
  }])),

  ["nothing moves while a page loads", async ({ tab }) => {
    await tab.open("/");
    await tab.has(".bars li");
    const shift = await tab.eval(`new Promise((resolve) => {
      let sum = 0;
      const seen = new PerformanceObserver((list) => list.getEntries().forEach((e) => { if (!e.hadRecentInput) sum += e.value; }));
      seen.observe({ type: "layout-shift", buffered: true });
      setTimeout(() => resolve(sum), 500);
    })`);
    assert.ok(shift < 0.05, `layout shift ${shift}`);
  }],

  ...[[390, 844], [1024, 768]].map(([width, height]) => [`no page scrolls sideways at ${width} px`, async ({ tab, shoot }) => {
    await tab.theme("light");
    await tab.viewport(width, height);
    for (const [path, name, row] of PAGES) {
      await tab.open(path);
      await tab.has(row);
      const wide = await tab.eval("document.documentElement.scrollWidth");
      assert.ok(wide <= width, `${name} is ${wide} px wide`);
      await shoot(`${name.toLowerCase()}-${width}px`);
    }
    await tab.viewport(1280, 860);
  }]),

  ["Overview says what is missing, was denied, and who is there", async ({ tab, agent, other }) => {
    await tab.open("/");
    await tab.sees("2 records are missing and nothing explains it", ".banner.bad");
    await tab.sees("198.51.100.7", "[aria-label='Most denied']");
    await tab.sees("203.0.113.9", "[aria-label='Most denied']");
    await tab.sees("2001:db8::7", "[aria-label='Top destinations']");
    await tab.sees(agent, "[aria-label='Agents']");
    await tab.sees(other, "[aria-label='Agents']");
    assert.equal(await tab.eval("document.querySelectorAll('.timeline canvas').length"), 2);
    assert.doesNotMatch(await tab.text(".figures"), /^in this range\s+0 allowed/);
  }],

  ["the range is in the URL and goes along", async ({ tab }) => {
    await tab.click(".segmented button", "6 h");
    await tab.until("location.search === '?from=-6h'", "the range in the URL");
    await tab.click("nav a", "Denied");
    await tab.until("location.pathname + location.search === '/denied?from=-6h'", "the range of the next page");
    await tab.eval("history.back()");
    await tab.until("location.pathname === '/'", "the way back");
    await tab.has(".segmented button[aria-pressed=true]");
  }],

  ["dragging over the timeline goes to that span", async ({ tab }) => {
    await tab.has(".timeline .u-over");
    const box = await tab.eval("(() => { const b = document.querySelector('.u-over').getBoundingClientRect(); return { x: b.x, y: b.y, w: b.width, h: b.height }; })()");
    const at = (type, part, buttons) => tab.call("Input.dispatchMouseEvent", { type, x: box.x + box.w * part, y: box.y + box.h / 2, button: "left", buttons, clickCount: 1 });
    await at("mouseMoved", 0.5, 0);
    await at("mousePressed", 0.5, 1);
    await at("mouseMoved", 0.7, 1);
    await at("mouseReleased", 0.7, 0);
    await tab.until("/from=20.*&to=20/.test(location.search)", "the span in the URL");
    await tab.click(".segmented button[aria-pressed=true]", "×");
    await tab.until("location.search === ''", "the last hour again");
  }],

  ["a filter is typed, guessed, turned round and removed", async ({ tab, agent }) => {
    await tab.press("g", "f");
    await tab.has(".flows .row");
    await tab.press("/");
    await tab.type("198.51.100.7");
    await tab.press("Enter");
    await tab.until("location.search === '?dst=198.51.100.7'", "the destination in the URL");
    await tab.type("port:80");
    await tab.press("Enter");
    await tab.until("[...document.querySelectorAll('.flows .row')].length > 0 && [...document.querySelectorAll('.flows .row')].every((r) => r.innerText.includes('198.51.100.7:80'))", "only that destination");
    await tab.sees("denied", ".flows");
    await tab.sees("no_rule", ".flows");
    await tab.sees(agent, ".flows");
    await tab.click(".chip-text", "port");
    await tab.until("location.search === '?dst=198.51.100.7&port=%2180'", "the opposite in the URL");
    await tab.until("[...document.querySelectorAll('.flows .row')].length > 0 && [...document.querySelectorAll('.flows .row')].every((r) => r.innerText.includes('198.51.100.7:443'))", "the other port only");
    await tab.click(".chip-close");
    await tab.click("button", "Clear");
    await tab.until("location.search === ''", "no filter");
  }],

  ["a filter that cannot be is refused beside the input", async ({ tab }) => {
    await tab.press("/");
    await tab.type("dst:example.org");
    await tab.press("Enter");
    await tab.sees("no address or network", "#filter-error");
    assert.equal(await tab.url(), "/flows");
  }],

  ["one click shows what was denied", async ({ tab }) => {
    await tab.open("/flows");
    await tab.has(".flows .row");
    await tab.click(".filters .segmented button", "Denied");
    await tab.until("location.search === '?verdict=drop'", "the verdict in the URL");
    await tab.until("[...document.querySelectorAll('.flows .row')].length > 0 && [...document.querySelectorAll('.flows .row')].every((r) => r.innerText.includes('denied'))", "denied rows only");
  }],

  ["older records load by cursor until all are there", async ({ tab, other }) => {
    await tab.open(`/flows?agentName=${other}`);
    await tab.has(".flows .row");
    await tab.eval("window.scrollTo(0, document.body.scrollHeight)");
    await tab.until("/39[45] records/.test(document.querySelector('.table-bar').innerText)", "all 394 records: 400 without 2 missing and 4 lost");
    assert.ok(await tab.eval("document.querySelectorAll('.flows .row').length < 150"), "only rows near the screen are in the document");
    assert.ok(await tab.eval("document.body.scrollHeight > 394 * 30"), "and the page is as high as all of them");
    await tab.eval("window.scrollTo(0, document.body.scrollHeight)");
    await tab.sees("4 lost: dropped while the disk was full", ".flows");
    await tab.eval("window.scrollTo(0, 0)");
  }],

  ["j, k and Enter go through the rows, Escape closes", async ({ tab, agent, shoot }) => {
    await tab.open(`/flows?agentName=${agent}&port=8080&event=end`);
    await tab.has(".flows .row");
    await tab.press("j", "j", "k", "Enter");
    await tab.has(".drawer");
    for (const text of ["10.42.0.10:8080", "allow_rule", "10.42.0.10/32", "Duration", "packet", "web-node"]) await tab.sees(text, ".drawer");
    await tab.theme("dark");
    await shoot("details-dark");
    await tab.theme("light");
    await shoot("details-light");
    const first = await tab.text(".drawer dl");
    await tab.press("j");
    await tab.until(`document.querySelector('.drawer dl').innerText !== ${JSON.stringify(first)}`, "the next record's details");
    await tab.press("Escape");
    await tab.hasNo(".drawer");
  }],

  // The keys come in the very moment in which the new view's rows are there.
  ["the details narrow the view and lead to all of the flow", async ({ tab }) => {
    await tab.press("Enter");
    await tab.has(".drawer .button");
    await tab.eval(`(async () => {
      const shown = new Promise((resolve) => {
        const look = () => document.querySelector("${ROWS}") && resolve(observer.disconnect());
        const observer = new MutationObserver(look);
        observer.observe(document.querySelector("main"), { subtree: true, childList: true, attributes: true });
      });
      document.querySelector(".drawer .button").click();
      await shown;
      for (const key of ["j", "Enter"]) {
        window.dispatchEvent(new KeyboardEvent("keydown", { key }));
        await new Promise((resolve) => setTimeout(resolve));
      }
    })()`);
    await tab.until("/src=10.42.0.2.*dst=10.42.0.10.*from=20/.test(decodeURIComponent(location.search))", "the flow's addresses in the URL");
    await tab.sees(await tab.eval(`document.querySelector("${ROWS}").dataset.event`), ".drawer");
    await tab.click(".drawer .narrow a[aria-label^='Not Source']");
    await tab.until("decodeURIComponent(location.search).includes('src=!10.42.0.2/32')", "the opposite in the URL");
  }],

  ["an export has the view's records", async ({ tab }) => {
    await tab.open("/flows?verdict=drop");
    await tab.has(".flows .row");
    const fetchText = (label) => tab.eval(`fetch([...document.querySelectorAll('a[download]')].find((a) => a.innerText === '${label}').href).then((answer) => answer.text())`);
    const csv = await fetchText("CSV");
    assert.match(csv.split("\n")[0], /eventId/);
    assert.ok(csv.split("\n").length > 3);
    const lines = (await fetchText("NDJSON")).trim().split("\n").map((line) => JSON.parse(line));
    assert.ok(lines.every((line) => line.verdict === "drop"));
  }],

  ["Live shows records as they come, stops and goes on", async ({ tab, agent }) => {
    await tab.press("g", "l");
    await tab.has(".flows .row");
    await tab.sees("live", ".live-state");
    await tab.sees(agent, ".flows");
    await tab.press("p");
    await tab.until("/paused, [1-9]/.test(document.querySelector('.live-state').innerText)", "records that came while it was paused");
    const stopped = await tab.text(".flows");
    await new Promise((resolve) => setTimeout(resolve, 700));
    assert.equal(await tab.text(".flows"), stopped);
    await tab.click("button", "Go on");
    await tab.until(`document.querySelector('.flows').innerText !== ${JSON.stringify(stopped)}`, "the new records");
  }],

  ["Live follows its filter", async ({ tab }) => {
    await tab.click(".filters .segmented button", "Denied");
    await tab.until("location.search === '?verdict=drop'", "the filter in the URL");
    await tab.until("document.querySelectorAll('.flows .row').length > 2 && [...document.querySelectorAll('.flows .row')].every((r) => r.innerText.includes('denied'))", "denied records only");
  }],

  ["Live goes on where it was when latticed was started again", async ({ tab, agent, restart }) => {
    tab.expected = [/ERR_|failed: |50[34]/];
    await tab.open(`/live?agentName=${agent}`);
    await tab.until("document.querySelectorAll('.flows .row').length > 3", "some records");
    writeFileSync(restart, "");
    await tab.sees("connecting again", ".live-state");
    while (existsSync(restart)) await new Promise((resolve) => setTimeout(resolve, 100));
    const before = await tab.eval("document.querySelector('.flows .row').dataset.event");
    await tab.until("/^live/.test(document.querySelector('.live-state').innerText)", "the stream again", 30_000);
    await tab.until(`[...document.querySelectorAll('.flows .row')].findIndex((r) => r.dataset.event === '${before}') > 3`, "later records");
    const numbers = await tab.eval("[...document.querySelectorAll('.flows .row')].map((r) => Number(r.dataset.event.split('/').pop()))");
    numbers.sort((a, b) => a - b);
    assert.deepEqual(numbers, numbers.map((_, index) => numbers[0] + index), "each record once, and none missing");
  }],

  ["Denied names each destination, why, and the rule that would allow it", async ({ tab, agent }) => {
    await tab.press("g", "d");
    await tab.has(".denied .row");
    const row = await tab.eval(`[...document.querySelectorAll('.denied .row')].map((r) => r.innerText).find((t) => t.includes('198.51.100.7:80'))`);
    for (const text of [agent, "tcp", "no_rule", "no rule allows this destination", DENIED_RULE]) assert.ok(row.includes(text), `${text} in ${row}`);
    await tab.sees("203.0.113.9/32:25/tcp", ".denied");
    await tab.sees("192.0.2.53/32:53/udp", ".denied");
  }],

  ["a rule is copied", async ({ tab }) => {
    await tab.click(`button[aria-label="Copy rule ${DENIED_RULE}"]`);
    await tab.sees("copied", ".denied");
    assert.equal(await tab.eval("navigator.clipboard.readText()"), DENIED_RULE);
  }],

  ["the rule is put into the agent's policy, after its result was shown", async ({ tab, agent, shoot }) => {
    await tab.click(`button[aria-label="Allow ${DENIED_RULE} for ${agent}"]`);
    await tab.sees(DENIED_RULE, "dialog .rules .added");
    await tab.sees("10.42.0.10/32", "dialog .rules .kept");
    await tab.theme("dark");
    await shoot("allow-dark");
    await tab.theme("light");
    await shoot("allow-light");
    await tab.click("dialog footer button", "Allow");
    await tab.hasNo("dialog");
    await tab.sees("now has 3 rules", ".notice.good");
    const { data } = await tab.eval(`fetch('/api/v1/agents/${agent}/policy').then((answer) => answer.json())`);
    assert.deepEqual(data.rules, ["10.42.0.10/32", "0.0.0.0/0:443", DENIED_RULE]);
  }],

  ["an agent's policy is edited with its errors beside it", async ({ tab, agent, shoot }) => {
    await tab.press("g", "a");
    await tab.click(`button[aria-label="Policy of ${agent}"]`);
    await tab.has("dialog textarea");
    await tab.eval("(() => { const t = document.querySelector('dialog textarea'); t.focus(); t.setSelectionRange(t.value.length, t.value.length); })()");
    await tab.type("\n10.0.0.0/99");
    await tab.sees("line 4: 10.0.0.0/99", "dialog");
    assert.ok(await tab.eval("document.querySelector('dialog .primary').disabled"));
    for (let i = 0; i < "10.0.0.0/99".length; i += 1) await tab.press("Backspace");
    await tab.type("192.0.2.0/24:5432/tcp");
    await tab.sees("192.0.2.0/24:5432/tcp", "dialog .added");
    await shoot("policy-light");
    await tab.click("dialog .primary");
    await tab.sees("now has 4 rules", ".notice.good");
  }],

  ["an agent is revoked only after a question", async ({ tab, other, shoot }) => {
    await tab.click(`button[aria-label="Revoke ${other}"]`);
    await tab.sees(`Revoke ${other}?`, "dialog");
    await shoot("revoke-light");
    await tab.press("Escape");
    await tab.hasNo("dialog");
    await tab.sees("active", `tr:nth-child(2)`);
    await tab.click(`button[aria-label="Revoke ${other}"]`);
    await tab.click("dialog button.danger");
    await tab.sees(`${other} is revoked`, ".notice.good");
    await tab.sees("revoked", "tr:nth-child(2)");
  }],

  ["an agent to come gets a token that is shown once", async ({ tab }) => {
    await tab.click("button", "Enrol");
    await tab.has("dialog input");
    await tab.click("dialog input");
    await tab.type("new-agent");
    await tab.press("Enter");
    await tab.until("/--name new-agent --token lt-[0-9a-f]{32} /.test(document.querySelector('dialog').innerText)", "the command with the token");
    await tab.press("Escape");
    await tab.hasNo("dialog");
  }],

  ["Integrity names the gap, the loss and the reject", async ({ tab }) => {
    await tab.press("g", "i");
    await tab.sees("2 records of second-node are missing and nothing explains it", ".banner.bad");
    const gaps = await tab.text("[aria-label='Gaps']");
    assert.match(gaps, /4 – 5[\s\S]*unexplained/);
    assert.match(gaps, /8 – 11[\s\S]*explained/);
    await tab.sees("web-node", "[aria-label='Sources']");
    await tab.sees("web-node", "[aria-label='Digests']");
    await tab.sees("holds", "[aria-label='Digests']");
    await tab.sees("malformed", "[aria-label='Rejected messages']");
    await tab.click("summary");
    await tab.sees("four hundred", "[aria-label='Rejected messages']");
  }],

  ["the help names the keys", async ({ tab, shoot }) => {
    await tab.press("?");
    await tab.sees("next and previous row", "dialog");
    await shoot("help-light");
    await tab.press("Escape");
    await tab.hasNo("dialog");
  }],

  ["the chosen colours stay", async ({ tab }) => {
    await tab.click("button[aria-label^='Colours']");
    await tab.click("button[aria-label^='Colours']");
    assert.equal(await tab.eval("document.documentElement.dataset.theme"), "dark");
    await tab.open("/agents");
    await tab.has(".cards .row");
    assert.equal(await tab.eval("document.documentElement.dataset.theme"), "dark");
    await tab.click("button[aria-label^='Colours']");
  }],

  ["every control has a name", async ({ tab }) => {
    for (const [path, , row] of PAGES) {
      await tab.open(path);
      await tab.has(row);
      const nameless = await tab.eval(`[...document.querySelectorAll('button, a, input, select, [role=img]')]
        .filter((e) => !(e.getAttribute('aria-label') || e.innerText?.trim() || e.labels?.length || e.title)).map((e) => e.outerHTML)`);
      assert.deepEqual(nameless, [], path);
    }
  }],

  ["a viewer is not offered what only an administrator may", async ({ tab, token }) => {
    const viewer = await tab.eval(`fetch('/api/v1/users/tokens', { method: 'POST', headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ name: 'eve', role: 'viewer', ttlSeconds: 600 }) }).then((answer) => answer.json())`);
    assert.ok(viewer.data.token && viewer.data.token !== token);
    await tab.click("button", "Sign out");
    await tab.has("#token");
    await tab.click("#token");
    await tab.type(viewer.data.token);
    await tab.press("Enter");
    await tab.has(".top");
    await tab.open("/denied");
    await tab.has(".denied .row");
    assert.equal(await tab.eval("[...document.querySelectorAll('button')].some((b) => /allow…|revoke/.test(b.innerText))"), false);
    await tab.sees("viewer", ".user");
  }],

  ["a session that ended leads to the sign-in and back", async ({ tab, token }) => {
    tab.expected = [/401/];
    await tab.open("/agents?from=-6h");
    await tab.has(".cards .row");
    await tab.call("Network.clearBrowserCookies");
    await tab.press("r");
    await tab.has("#token");
    await tab.click("#token");
    await tab.type(token);
    await tab.press("Enter");
    await tab.has(".cards .row");
    assert.equal(await tab.url(), "/agents?from=-6h");
  }],

  ["a path that is no page says so", async ({ tab }) => {
    await tab.open("/nowhere");
    await tab.sees("There is no page /nowhere");
  }],

  ["300,000 records come in", async ({ tab, fill }) => {
    const filled = fill();
    assert.equal(filled.status, 0, filled.stderr);
    const source = () => tab.eval("fetch('/api/v1/audit/sources').then((answer) => answer.json()).then((a) => a.data.list.find((s) => s.node === 'many-node'))");
    const deadline = Date.now() + 180_000;
    while ((await source())?.stored !== MANY) {
      assert.ok(Date.now() < deadline, JSON.stringify(await source()));
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
    assert.equal((await source()).missing, 0);
  }],

  ...PAGES.map(([path, name, row]) => [`${name} of 300,000 records holds what the screen needs, and answers`, async ({ tab, many, shoot }) => {
    await tab.open(path);
    await tab.has(row);
    assert.ok(await tab.eval("document.querySelectorAll('main *').length < 20000"), "the document does not grow with the table");
    await shoot(`${name.toLowerCase()}-many`);
    await tab.press("?");
    await tab.has("dialog");
    await tab.press("Escape");
    await tab.hasNo("dialog");
    if (path === "/" || path === "/agents") await tab.sees(many);
    if (path === "/denied") await tab.sees("172.16.");
    if (path === "/integrity") await tab.sees("many-node", "[aria-label='Sources']");
  }]),

  ["of 300,000 records those of a filter are found, and older ones load", async ({ tab, many }) => {
    await tab.open(`/flows?agentName=${many}&verdict=drop`);
    await tab.has(".flows .row");
    const records = "Number(document.querySelector('.table-bar').innerText.match(/([0-9,]+)\\+? records/)?.[1].replaceAll(',', '') ?? 0)";
    for (let page = 0; page < 3; page += 1) {
      const before = await tab.eval(records);
      assert.ok(before > 0, await tab.text(".table-bar"));
      await tab.eval("window.scrollTo(0, document.body.scrollHeight)");
      await tab.until(`${records} > ${before}`, `more than ${before} records`);
    }
    assert.ok(await tab.eval("document.querySelectorAll('.flows .row').length < 150"), "only rows near the screen are in the document");
    assert.ok(await tab.eval("[...document.querySelectorAll('.flows .row')].every((r) => r.innerText.includes('denied'))"));
    await tab.open(`/flows?agentName=${many}&dst=172.17.0.2`);
    await tab.until("[...document.querySelectorAll('.flows .row')].length > 0 && [...document.querySelectorAll('.flows .row')].every((r) => r.innerText.includes('172.17.0.2:443'))", "one destination of 4000");
    await tab.press("j", "Enter");
    await tab.sees("many-node", ".drawer");
    await tab.press("Escape");
    await tab.hasNo(".drawer");
  }],
];
