// Headless Chromium over the DevTools protocol, by pipe: no package and no port is needed.
// What the pages log as an error, throw, or fail to load is collected in Tab.problems.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const FLAGS = [
  "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--no-default-browser-check",
  "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-default-apps", "--disable-extensions",
  "--disable-dev-shm-usage", "--hide-scrollbars", "--force-color-profile=srgb", "--mute-audio", "--remote-debugging-pipe",
  // Its own wish to ask for the time of day or an update would be a denied record of the agent.
  "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
];
const CALL_MS = 20_000;

export class Browser {
  static async start(program = process.env.CHROMIUM ?? "/usr/bin/chromium") {
    const browser = new Browser();
    browser.profile = mkdtempSync(join(tmpdir(), `lat-t-${process.pid}-chromium-`));
    browser.child = spawn(program, [...FLAGS, `--user-data-dir=${browser.profile}`, "about:blank"], {
      stdio: ["ignore", "ignore", "pipe", "pipe", "pipe"],
      // Of its own group: it starts many processes, and all of them end.
      detached: true,
      env: { ...process.env, HOME: browser.profile, XDG_CONFIG_HOME: browser.profile, XDG_CACHE_HOME: browser.profile },
    });
    browser.said = "";
    browser.child.stderr.on("data", (data) => (browser.said = (browser.said + data).slice(-4000)));
    browser.ended = new Promise((resolve) => browser.child.on("exit", resolve));
    browser.ended.then(() => browser.#fail(new Error(`chromium ended: ${browser.said}`)));
    browser.child.on("error", (error) => browser.#fail(error));
    browser.#listen();
    return browser;
  }

  #next = 1;
  #waiting = new Map();
  #sessions = new Map();
  #rest = Buffer.alloc(0);

  #listen() {
    this.child.stdio[4].on("data", (data) => {
      this.#rest = Buffer.concat([this.#rest, data]);
      for (let end = this.#rest.indexOf(0); end >= 0; end = this.#rest.indexOf(0)) {
        const message = JSON.parse(this.#rest.subarray(0, end).toString());
        this.#rest = this.#rest.subarray(end + 1);
        this.#take(message);
      }
    });
    this.child.stdio[3].on("error", () => {}); // its end is told by `ended`
  }

  #take(message) {
    const waiting = this.#waiting.get(message.id);
    if (waiting) {
      this.#waiting.delete(message.id);
      if (message.error) waiting.reject(new Error(`${waiting.method}: ${message.error.message}`));
      else waiting.resolve(message.result);
    } else if (message.method) {
      this.#sessions.get(message.sessionId)?.(message.method, message.params);
    }
  }

  #fail(error) {
    for (const waiting of this.#waiting.values()) waiting.reject(error);
    this.#waiting.clear();
    this.dead = error;
  }

  call(method, params = {}, sessionId = undefined) {
    if (this.dead) return Promise.reject(this.dead);
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`${method}: no answer from chromium`)), CALL_MS);
      const done = (settle) => (value) => {
        clearTimeout(timer);
        settle(value);
      };
      this.#waiting.set(id, { method, resolve: done(resolve), reject: done(reject) });
      this.child.stdio[3].write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    });
  }

  async tab(origin) {
    const { browserContextId } = await this.call("Target.createBrowserContext");
    const { targetId } = await this.call("Target.createTarget", { url: "about:blank", browserContextId });
    const { sessionId } = await this.call("Target.attachToTarget", { targetId, flatten: true });
    const tab = new Tab(this, sessionId, targetId, origin);
    this.#sessions.set(sessionId, (method, params) => tab.take(method, params));
    await this.call("Browser.setPermission", { permission: { name: "clipboard-write" }, setting: "granted", origin, browserContextId });
    await this.call("Browser.setPermission", { permission: { name: "clipboard-read" }, setting: "granted", origin, browserContextId });
    for (const domain of ["Page", "Runtime", "Log", "Network"]) await tab.call(`${domain}.enable`);
    return tab;
  }

  async stop() {
    try {
      process.kill(-this.child.pid, "SIGKILL");
    } catch (error) {
      if (error.code !== "ESRCH") throw error;
    }
    await this.ended;
    rmSync(this.profile, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  }
}

export class Tab {
  problems = [];
  requests = [];
  // Texts of problems that the step under way is there to cause.
  expected = [];
  #urls = new Map();

  constructor(browser, sessionId, targetId, origin) {
    Object.assign(this, { browser, sessionId, targetId, origin });
  }

  call(method, params = {}) {
    return this.browser.call(method, params, this.sessionId);
  }

  take(method, params) {
    if (method === "Network.requestWillBeSent") {
      this.#urls.set(params.requestId, params.request.url);
      this.requests.push(params.request.url);
      if (!params.request.url.startsWith(this.origin)) this.#problem(`request to another host: ${params.request.url}`);
    } else if (method === "Network.responseReceived" && params.response.status >= 400) {
      this.#problem(`${params.response.status} ${params.response.url}`);
    } else if (method === "Network.loadingFailed" && !params.canceled && params.errorText !== "net::ERR_ABORTED") {
      this.#problem(`failed: ${this.#urls.get(params.requestId)}: ${params.errorText}`);
    } else if (method === "Runtime.exceptionThrown") {
      this.#problem(`exception: ${params.exceptionDetails.exception?.description ?? params.exceptionDetails.text}`);
    } else if (method === "Runtime.consoleAPICalled" && (params.type === "error" || params.type === "warning" || params.type === "assert")) {
      this.#problem(`console.${params.type}: ${params.args.map((arg) => arg.value ?? arg.description).join(" ")}`);
    } else if (method === "Log.entryAdded" && (params.entry.level === "error" || params.entry.level === "warning")) {
      this.#problem(`${params.entry.source}: ${params.entry.text} ${params.entry.url ?? ""}`);
    }
  }

  #problem(text) {
    if (!this.expected.some((pattern) => pattern.test(text))) this.problems.push(text);
  }

  async open(path) {
    await this.call("Page.navigate", { url: this.origin + path });
    await this.until("document.readyState === 'complete'", `${path} to load`);
  }

  // Evaluates an expression in the page; promises are awaited.
  async eval(expression) {
    const { result, exceptionDetails } = await this.call("Runtime.evaluate", { expression, awaitPromise: true, returnByValue: true });
    if (exceptionDetails) throw new Error(`${expression}: ${exceptionDetails.exception?.description ?? exceptionDetails.text}`);
    return result.value;
  }

  // Waits until the expression is true. The error tells what was on the page instead.
  async until(expression, what, ms = 15_000) {
    const end = Date.now() + ms;
    for (;;) {
      const value = await this.eval(expression).catch((error) => {
        if (/context was destroyed|Cannot find context/.test(error.message)) return false; // the page is changing
        throw error;
      });
      if (value) return value;
      if (Date.now() > end) throw new Error(`waited ${ms / 1000} s for ${what}; the page says: ${(await this.text("body")).slice(0, 800)}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  text(selector) {
    return this.eval(`document.querySelector(${JSON.stringify(selector)})?.innerText ?? ""`);
  }

  sees(text, selector = "main") {
    return this.until(`(document.querySelector(${JSON.stringify(selector)})?.innerText ?? "").includes(${JSON.stringify(text)})`, `"${text}" in ${selector}`);
  }

  has(selector) {
    return this.until(`document.querySelector(${JSON.stringify(selector)}) !== null`, selector);
  }

  hasNo(selector) {
    return this.until(`document.querySelector(${JSON.stringify(selector)}) === null`, `no ${selector}`);
  }

  url() {
    return this.eval("location.pathname + location.search");
  }

  // A real click in the middle of the first element of the selector, or of the one among them with that text.
  async click(selector, text = "") {
    const find = `[...document.querySelectorAll(${JSON.stringify(selector)})].find((e) => e.innerText.trim().includes(${JSON.stringify(text)}))`;
    await this.until(`${find}?.getClientRects().length > 0`, `${selector} "${text}"`);
    const box = await this.eval(`(() => { const e = ${find}; e.scrollIntoView({ block: "center" });
      const box = e.getBoundingClientRect(); return { x: box.x + box.width / 2, y: box.y + box.height / 2 }; })()`);
    for (const type of ["mouseMoved", "mousePressed", "mouseReleased"]) {
      await this.call("Input.dispatchMouseEvent", { type, x: box.x, y: box.y, button: "left", buttons: type === "mousePressed" ? 1 : 0, clickCount: 1 });
    }
  }

  // Keys by their names: "j", "Enter", "Escape", "Control+a".
  async press(...keys) {
    const codes = { Enter: 13, Escape: 27, Tab: 9, Backspace: 8 };
    for (const name of keys) {
      const text = name === "Enter" ? "\r" : name.length === 1 ? name : undefined;
      const event = { key: name, text, windowsVirtualKeyCode: codes[name] ?? name.toUpperCase().charCodeAt(0) };
      await this.call("Input.dispatchKeyEvent", { type: text ? "keyDown" : "rawKeyDown", ...event });
      await this.call("Input.dispatchKeyEvent", { type: "keyUp", ...event, text: undefined });
    }
  }

  type(text) {
    return this.call("Input.insertText", { text });
  }

  async viewport(width, height) {
    await this.call("Emulation.setDeviceMetricsOverride", { width, height, deviceScaleFactor: 1, mobile: width < 500 });
  }

  async theme(name) {
    await this.call("Emulation.setEmulatedMedia", { features: [{ name: "prefers-color-scheme", value: name }] });
  }

  async screenshot() {
    const { data } = await this.call("Page.captureScreenshot", { format: "png" });
    return Buffer.from(data, "base64");
  }
}
