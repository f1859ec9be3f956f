// The one place that talks to the server. Every answer is {code, msg, data}.
import { EventParser, type ServerEvent } from "./lib/sse.ts";

export class ApiError extends Error {
  constructor(
    readonly status: number, // 0: no answer
    message: string,
  ) {
    super(message);
  }
}

// Who is told that the session ended.
let onUnauthorized: () => void = () => {};
export function setUnauthorizedHandler(handler: () => void): void {
  onUnauthorized = handler;
}

interface Envelope<T> {
  code: number;
  msg: string;
  data: T;
}

export async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  return call<T>("GET", path, undefined, signal);
}

export async function send<T>(method: "POST" | "PUT" | "DELETE", path: string, body?: unknown): Promise<T> {
  return call<T>(method, path, body);
}

async function call<T>(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<T> {
  const response = await request(path, {
    method,
    signal: signal ?? null,
    headers: body === undefined ? { accept: "application/json" } : { accept: "application/json", "content-type": "application/json" },
    body: body === undefined ? null : JSON.stringify(body),
  });
  let envelope: Envelope<T>;
  try {
    envelope = (await response.json()) as Envelope<T>;
  } catch (error) {
    if (isAbort(error)) throw error;
    throw new ApiError(response.status, `latticed answered ${response.status} without a readable body; see its log`);
  }
  if (!response.ok || (envelope.code !== 0 && envelope.code !== 200)) {
    throw new ApiError(response.status, envelope.msg || `latticed answered ${response.status}`);
  }
  return envelope.data;
}

async function request(path: string, init: RequestInit): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(path, { credentials: "same-origin", cache: "no-store", ...init });
  } catch (error) {
    if (isAbort(error)) throw error;
    throw new ApiError(0, "latticed does not answer: is it running, and is the way to it open?");
  }
  if (response.status === 401 && path !== "/api/v1/auth/login") onUnauthorized();
  return response;
}

export function isAbort(error: unknown): boolean {
  return error instanceof DOMException && error.name === "AbortError";
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

// Reads a live stream until the server ends it. Not EventSource: that one neither tells a status nor sends a given
// Last-Event-ID in a new connection.
export async function stream(
  path: string,
  lastEventId: string,
  signal: AbortSignal,
  onOpen: () => void,
  onEvents: (events: ServerEvent[]) => void,
): Promise<void> {
  const headers: Record<string, string> = { accept: "text/event-stream" };
  if (lastEventId) headers["last-event-id"] = lastEventId;
  const response = await request(path, { method: "GET", headers, signal });
  if (!response.ok || !response.body) throw new ApiError(response.status, await errorText(response));
  onOpen();
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  const parser = new EventParser();
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const events = parser.push(decoder.decode(value, { stream: true }));
    if (events.length > 0) onEvents(events);
  }
}

async function errorText(response: Response): Promise<string> {
  try {
    return ((await response.json()) as Envelope<unknown>).msg;
  } catch {
    return `latticed answered ${response.status}`;
  }
}
