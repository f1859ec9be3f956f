// The live tail: the newest 500 records, first the newest.
import { useEffect, useRef, useState } from "preact/hooks";
import type { PageProps } from "../app.tsx";
import { ApiError, isAbort, messageOf, stream } from "../api.ts";
import { useKeys, useNow, useRowKeys } from "../hooks.ts";
import { parseView, printView, streamQueryOf, type View } from "../lib/filter.ts";
import { count, rate } from "../lib/format.ts";
import { LiveBuffer } from "../lib/live_buffer.ts";
import type { FlowEvent } from "../lib/types.ts";
import { FilterBar } from "../parts/filter_bar.tsx";
import { FlowDetails } from "../parts/flow_details.tsx";
import { FlowTable } from "../parts/flow_table.tsx";
import { Empty } from "../parts/states.tsx";
import { navigate } from "../router.ts";

// Rows come faster than anybody reads: the page is drawn this often.
const DRAW_MS = 250;
const RETRY_MS = [1000, 2000, 5000, 10_000];

export function LivePage({ search }: PageProps) {
  const view = parseView(search);
  const now = useNow();
  const [paused, setPaused] = useState(false);
  const tail = useTail(view, paused);
  const [open, setOpen] = useState<FlowEvent>();
  const [selected, select] = useRowKeys(tail.events.length, (index) => setOpen(tail.events[index]), () => setOpen(undefined));
  useKeys({ p: () => setPaused((value) => !value) });
  const show = (next: View): void => navigate(`/live${printView(next)}`, true);
  return (
    <>
      <div class="page-head">
        <h1>Live</h1>
        <div class="live-state" role="status">
          <span class={`dot ${tail.state === "open" ? (paused ? "warn" : "good pulse") : "bad"}`} aria-hidden="true" />
          <span>{stateText(tail, paused)}</span>
        </div>
        <span class="figure">{rate(tail.perSecond)} / s</span>
        <button type="button" class={paused ? "primary" : ""} aria-pressed={paused} title="p" onClick={() => setPaused(!paused)}>
          {paused ? `Go on${tail.waiting ? ` (${count(tail.waiting)} new)` : ""}` : "Pause"}
        </button>
      </div>
      <FilterBar view={view} onChange={show} />
      {tail.cut && (
        <div class="notice warn" role="status">
          This browser was too slow and the server cut it off; the tail went on after the last record it had. A narrower filter helps.
        </div>
      )}
      <FlowTable
        events={tail.events}
        now={now}
        selected={selected}
        onOpen={(index) => {
          select(index);
          setOpen(tail.events[index]);
          setPaused(true);
        }}
        label="Live records"
      />
      {tail.events.length === 0 && (
        <Empty title={tail.state === "open" ? "Waiting for records" : "Not connected"}>
          {tail.state === "open" ? "They show here as they come in." : tail.error}
        </Empty>
      )}
      {open && <FlowDetails event={open} view={{ ...view, from: "", to: "" }} onClose={() => setOpen(undefined)} />}
    </>
  );
}

interface Tail {
  events: FlowEvent[];
  state: "connecting" | "open" | "retrying";
  error: string;
  cut: boolean;
  waiting: number; // came while paused
  perSecond: number;
}

function stateText(tail: Tail, paused: boolean): string {
  if (tail.state === "retrying") return `connecting again: ${tail.error}`;
  if (tail.state === "connecting") return "connecting";
  return paused ? `paused, ${count(tail.waiting)} came since` : "live";
}

function useTail(view: View, paused: boolean): Tail {
  const query = streamQueryOf(view);
  const buffer = useRef(new LiveBuffer());
  const [, draw] = useState(0);
  const status = useRef<Pick<Tail, "state" | "error" | "cut">>({ state: "connecting", error: "", cut: false });
  buffer.current.setPaused(paused);

  useEffect(() => {
    const abort = new AbortController();
    buffer.current = new LiveBuffer();
    buffer.current.setPaused(paused);
    status.current = { state: "connecting", error: "", cut: false };
    void follow(query, buffer.current, status.current, abort.signal);
    const timer = setInterval(() => draw((value) => value + 1), DRAW_MS);
    return () => {
      abort.abort();
      clearInterval(timer);
    };
  }, [query]);

  const { events, waiting } = buffer.current;
  return { ...status.current, events, waiting, perSecond: buffer.current.perSecond(Date.now()) };
}

// Keeps the stream up until aborted; each connection goes on after the last record of the one before.
async function follow(query: string, buffer: LiveBuffer, status: Pick<Tail, "state" | "error" | "cut">, signal: AbortSignal): Promise<void> {
  const path = `/api/v1/audit/flow/stream${query ? `?${query}` : ""}`;
  for (let attempt = 0; !signal.aborted; attempt += 1) {
    try {
      await stream(path, buffer.lastId, signal, () => {
        status.state = "open";
        attempt = 0;
      }, (events) => {
        for (const event of events) {
          if (event.event === "cut") status.cut = true;
          else if (event.event === "message") buffer.add(JSON.parse(event.data) as FlowEvent, event.id, Date.now());
        }
      });
      status.error = status.cut ? "the server cut a slow reader" : "the server ended the stream";
    } catch (error) {
      if (isAbort(error) || signal.aborted) return;
      status.error = messageOf(error);
      // A refused filter stays refused.
      if (error instanceof ApiError && error.status >= 400 && error.status < 500) {
        status.state = "retrying";
        return;
      }
    }
    status.state = "retrying";
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS[Math.min(attempt, RETRY_MS.length - 1)]));
  }
}
