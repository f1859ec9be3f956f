// Numbers and times as people read them. Pure: "now" is an argument.

const UNITS = ["B", "kB", "MB", "GB", "TB", "PB"];

// Powers of 1000; three digits: "0 B", "999 B", "1.50 kB", "23.4 MB".
export function bytes(value: number | undefined): string {
  let number = value ?? 0;
  let unit = 0;
  while (number >= 999.5 && unit < UNITS.length - 1) {
    number /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? number : number.toPrecision(3)} ${UNITS[unit]}`;
}

// "1,234,567".
export function count(value: number | undefined): string {
  return Math.round(value ?? 0).toLocaleString("en-US");
}

// "1 flow", "2 flows".
export function plural(value: number, noun: string, nouns = `${noun}s`): string {
  return `${count(value)} ${value === 1 ? noun : nouns}`;
}

// "250 ms", "1.5 s", "2 m 05 s", "3 h 10 m", "2 d 4 h".
export function duration(ms: number | undefined): string {
  const value = ms ?? 0;
  if (value < 1000) return `${Math.round(value)} ms`;
  if (value < 10_000) return `${(value / 1000).toFixed(1)} s`;
  const seconds = Math.round(value / 1000);
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} m ${pad(seconds % 60)} s`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ${pad(Math.floor(seconds / 60) % 60)} m`;
  return `${Math.floor(seconds / 86_400)} d ${Math.floor(seconds / 3600) % 24} h`;
}

// Requests a second: "0", "0.4", "12", "1.2 k".
export function rate(perSecond: number | undefined): string {
  const value = perSecond ?? 0;
  if (value === 0) return "0";
  if (value < 10) return value.toFixed(1);
  return value < 1000 ? String(Math.round(value)) : `${(value / 1000).toFixed(1)} k`;
}

// Milliseconds since 1970, or undefined for what is no time. Go's zero time is none either.
export function parseTime(text: string | undefined): number | undefined {
  if (!text || text.startsWith("0001-")) return undefined;
  const value = Date.parse(text);
  return Number.isNaN(value) ? undefined : value;
}

const CLOCK: Intl.DateTimeFormatOptions = { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" };

// Local time: the clock alone on the same day ("14:03:09.120"), otherwise with the date.
export function localTime(ms: number, now: number, millis = false): string {
  const date = new Date(ms);
  const clock = date.toLocaleTimeString("en-GB", CLOCK) + (millis ? `.${pad(date.getMilliseconds(), 3)}` : "");
  return new Date(now).toDateString() === date.toDateString() ? clock : `${localDate(date)} ${clock}`;
}

function localDate(date: Date): string {
  return `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())}`;
}

// "2026-11-24 19:43:00.123456789 UTC": the server's own digits, so that nothing is rounded.
export function utcTime(text: string): string {
  return text.replace("T", " ").replace(/Z$/, " UTC");
}

// "just now", "42 s ago", "5 m ago", "3 h ago", "2 d ago"; the future is a clock that is wrong.
export function ago(ms: number, now: number): string {
  const seconds = Math.round((now - ms) / 1000);
  if (seconds < -5) return `${span(-seconds)} ahead`;
  return seconds < 2 ? "just now" : `${span(seconds)} ago`;
}

export function span(seconds: number): string {
  if (seconds < 60) return `${Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} m`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86_400)} d`;
}

// "192.0.2.7:443", "[2001:db8::7]:443"; without a port the address alone.
export function endpoint(ip: string | undefined, port: number | undefined): string {
  if (!ip) return "";
  if (!port) return ip;
  return ip.includes(":") ? `[${ip}]:${port}` : `${ip}:${port}`;
}

function pad(value: number, digits = 2): string {
  return String(value).padStart(digits, "0");
}
