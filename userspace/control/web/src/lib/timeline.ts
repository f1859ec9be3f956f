// Points of a timeline as the columns that the chart draws.
import type { Timeline } from "./types.ts";

export interface Columns {
  times: number[]; // seconds since 1970, begin of each bucket
  allowed: number[];
  denied: number[];
  bytes: number[];
}

// Buckets without a point are zero: the server may leave them out.
export function columnsOf(timeline: Timeline | undefined, fromMs: number, toMs: number): Columns {
  const step = timeline && timeline.bucketSeconds > 0 ? timeline.bucketSeconds : Math.max(1, Math.round((toMs - fromMs) / 60_000));
  const points = new Map<number, [number, number, number]>();
  for (const point of timeline?.points ?? []) {
    points.set(Math.round(Date.parse(point.ts) / 1000), [point.allowed, point.denied, point.bytes]);
  }
  const from = fromMs / 1000;
  const anchor = points.size > 0 ? Math.min(...points.keys()) : Math.ceil(from / step) * step;
  const first = anchor - Math.floor(Math.max(0, anchor - from) / step) * step;
  const columns: Columns = { times: [], allowed: [], denied: [], bytes: [] };
  // At most 500 points are asked for; a range that does not fit its step must not hang the page.
  for (let time = first, left = 2000; time < toMs / 1000 && left > 0; time += step, left -= 1) {
    const point = points.get(time) ?? [0, 0, 0];
    columns.times.push(time);
    columns.allowed.push(point[0]);
    columns.denied.push(point[1]);
    columns.bytes.push(point[2]);
  }
  return columns;
}

export const sum = (values: number[]): number => values.reduce((total, value) => total + value, 0);
