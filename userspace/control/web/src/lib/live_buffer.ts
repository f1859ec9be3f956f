// What the live tail holds: the newest records, bounded, in two parts while it is paused.
import type { FlowEvent } from "./types.ts";

export const MAX_LIVE_ROWS = 500;
// The rate is that of the last seconds.
const RATE_MS = 5000;

export class LiveBuffer {
  events: FlowEvent[] = []; // newest first
  waiting = 0; // that came while paused, also those no longer kept
  lastId = "";
  private held: FlowEvent[] = [];
  private paused = false;
  private arrivals: number[] = [];

  setPaused(paused: boolean): void {
    if (this.paused && !paused) {
      this.events = this.held.concat(this.events).slice(0, MAX_LIVE_ROWS);
      this.held = [];
      this.waiting = 0;
    }
    this.paused = paused;
  }

  add(event: FlowEvent, id: string, nowMs: number): void {
    if (id) this.lastId = id;
    this.arrivals.push(nowMs);
    if (this.arrivals.length > 100_000) this.arrivals.splice(0, 50_000);
    if (this.paused) this.waiting += 1;
    const rows = this.paused ? this.held : this.events;
    rows.unshift(event);
    if (rows.length > MAX_LIVE_ROWS) rows.pop();
  }

  perSecond(nowMs: number): number {
    const begin = this.arrivals.findIndex((time) => time > nowMs - RATE_MS);
    this.arrivals.splice(0, begin < 0 ? this.arrivals.length : begin);
    return this.arrivals.length / (RATE_MS / 1000);
  }
}
