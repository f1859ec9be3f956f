// The table of records. Everything that selects them is in the URL.
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import type { PageProps } from "../app.tsx";
import { get, isAbort, messageOf } from "../api.ts";
import { useKeys, useNow, useRowKeys } from "../hooks.ts";
import { parseView, printView, queryOf, rangeOf, type View } from "../lib/filter.ts";
import { count, localTime, parseTime, plural } from "../lib/format.ts";
import type { FlowEvent, FlowPage } from "../lib/types.ts";
import { FilterBar } from "../parts/filter_bar.tsx";
import { FlowDetails } from "../parts/flow_details.tsx";
import { FlowTable } from "../parts/flow_table.tsx";
import { RangePicker } from "../parts/range.tsx";
import { Empty, Failed, Loading } from "../parts/states.tsx";
import { navigate } from "../router.ts";

const PAGE = 200;
// More than anybody scrolls through; an export is for the rest.
const MAX_ROWS = 10_000;
const DAY_MS = 86_400_000;

export function FlowsPage({ search }: PageProps) {
  const view = parseView(search);
  const now = useNow(30_000);
  const rows = useRows(view);
  useKeys({ r: rows.reload });
  const show = (next: View): void => navigate(`/flows${printView(next)}`);
  const range = rangeOf(view, now);
  return (
    <>
      <div class="page-head">
        <h1>Flows</h1>
        <RangePicker view={view} now={now} onChange={show} />
      </div>
      <FilterBar view={view} onChange={show} suggestions={suggestionsOf(rows.events)} />
      <div class="table-bar">
        <span class="muted" role="status">
          {rows.loading && (rows.stale || rows.events.length === 0) ? "Loading…" : statusOf(rows, now)}
        </span>
        <span class="table-actions">
          <button type="button" class="quiet" onClick={() => show({ ...view, order: view.order === "desc" ? "asc" : "desc" })}>
            {view.order === "desc" ? "newest first ↓" : "oldest first ↑"}
          </button>
          <button type="button" class="quiet" onClick={rows.reload}>
            Reload
          </button>
          <a class="quiet" download="flows.csv" href={`/api/v1/audit/flow?${queryOf(view, { format: "csv" })}`}>
            CSV
          </a>
          <a class="quiet" download="flows.ndjson" href={`/api/v1/audit/flow?${queryOf(view, { format: "ndjson" })}`}>
            NDJSON
          </a>
        </span>
      </div>
      {rows.error && <Failed error={rows.error} retry={rows.reload} />}
      {/* Another view has no row selected and no details open, from its first moment on: hence the key. */}
      <Records key={search} rows={rows} view={view} now={now} longTimes={range.to - range.from > DAY_MS} />
      {rows.events.length === 0 && (rows.loading ? <Loading /> : !rows.error && <NoRows view={view} onChange={show} />)}
      <Older rows={rows} order={view.order} />
    </>
  );
}

// The table, and beside it the details of one record.
function Records({ rows, view, now, longTimes }: { rows: Rows; view: View; now: number; longTimes: boolean }) {
  const [open, setOpen] = useState<FlowEvent>();
  const openAt = (index: number): void => {
    if (rows.stale) return;
    select(index);
    setOpen(rows.events[index]);
  };
  const close = (): void => setOpen(undefined);
  // With the details open, j and k show the next record's.
  const follow = (index: number): void => setOpen((shown) => shown && rows.events[index]);
  const [selected, select] = useRowKeys(rows.stale ? 0 : rows.events.length, openAt, close, follow);
  return (
    <>
      <FlowTable events={rows.events} now={now} selected={selected} onOpen={openAt} label="Flow records" longTimes={longTimes} busy={rows.stale} />
      {open && <FlowDetails event={open} view={view} onClose={close} />}
    </>
  );
}

interface Rows {
  events: FlowEvent[];
  stale: boolean; // the events are of the view before; those of this one are on their way
  page: FlowPage | undefined; // the newest answer, for its completeness
  error: string;
  loading: boolean;
  more: boolean;
  full: boolean;
  loadMore: () => void;
  reload: () => void;
}

interface Answer {
  of: string; // the query
  events: FlowEvent[];
  page: FlowPage | undefined;
}

// What was there stays until the new answer is, so that nothing jumps.
function useRows(view: View): Rows {
  const query = queryOf(view, { limit: String(PAGE) });
  const [{ of, events, page }, setAnswer] = useState<Answer>({ of: query, events: [], page: undefined });
  const [error, setError] = useState("");
  const [loading, setLoading] = useState(true);
  const [round, setRound] = useState(0);
  const abort = useRef<AbortController | undefined>(undefined);

  const fetchPage = useCallback((of: string, cursor: string, before: FlowEvent[]) => {
    abort.current?.abort();
    const mine = new AbortController();
    abort.current = mine;
    setLoading(true);
    get<FlowPage>(`/api/v1/audit/flow?${of}${cursor && `&cursor=${encodeURIComponent(cursor)}`}`, mine.signal).then(
      (answer) => {
        setAnswer({ of, events: before.concat(answer.list), page: answer });
        setError("");
        setLoading(false);
      },
      (reason: unknown) => {
        if (isAbort(reason)) return;
        setAnswer((old) => (old.of === of ? old : { of, events: [], page: undefined }));
        setError(messageOf(reason));
        setLoading(false);
      },
    );
  }, []);

  useEffect(() => {
    fetchPage(query, "", []);
    return () => abort.current?.abort();
  }, [query, round]);

  const stale = of !== query;
  const cursor = (!stale && page?.nextCursor) || "";
  const full = events.length >= MAX_ROWS;
  return {
    events,
    stale,
    page,
    error,
    loading: loading || stale,
    more: cursor !== "" && !full,
    full: cursor !== "" && full,
    loadMore: () => {
      if (!loading && cursor && !full) fetchPage(query, cursor, events);
    },
    reload: () => setRound((value) => value + 1),
  };
}

function statusOf(rows: Rows, now: number): string {
  const loaded = `${plural(rows.events.length, "record")}${rows.more || rows.full ? " loaded, more follow" : ""}`;
  const watermark = parseTime(rows.page?.watermark);
  const parts = [loaded];
  if (watermark) parts.push(`recorded up to ${localTime(watermark, now)}`);
  if (rows.page?.gaps) parts.push(`${count(rows.page.gaps)} missing`);
  if (rows.page?.lost) parts.push(`${count(rows.page.lost)} lost`);
  return parts.join(" · ");
}

// Loads the next page when its end comes near the screen.
function Older({ rows, order }: { rows: Rows; order: string }) {
  const button = useRef<HTMLButtonElement>(null);
  const load = useRef(rows.loadMore);
  load.current = rows.loadMore;
  useEffect(() => {
    if (!button.current) return undefined;
    const observer = new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && load.current(), { rootMargin: "600px" });
    observer.observe(button.current);
    return () => observer.disconnect();
  }, [rows.more, rows.events.length]);
  if (rows.full) return <p class="muted center">These are {count(rows.events.length)} records. Narrow the filter or the range, or export them all.</p>;
  if (!rows.more) return null;
  return (
    <p class="center">
      <button type="button" ref={button} onClick={rows.loadMore} disabled={rows.loading}>
        {rows.loading ? "Loading…" : order === "desc" ? "Older" : "Newer"}
      </button>
    </p>
  );
}

function NoRows({ view, onChange }: { view: View; onChange: (view: View) => void }) {
  return (
    <Empty title="No records match">
      {view.terms.length > 0 && (
        <button type="button" onClick={() => onChange({ ...view, terms: [] })}>
          Clear the filters
        </button>
      )}{" "}
      <button type="button" onClick={() => onChange({ ...view, from: "-7d", to: "" })}>
        Look at the last 7 days
      </button>
    </Empty>
  );
}

// For the filter's list: what the loaded records name.
function suggestionsOf(events: FlowEvent[]): Record<string, string[]> {
  const unique = (values: (string | undefined)[]): string[] => [...new Set(values.filter((value): value is string => Boolean(value)))].slice(0, 50);
  const recent = events.slice(0, 500);
  return {
    agentName: unique(recent.map((event) => event.agentId)),
    rule: unique(recent.map((event) => event.rule)),
    host: unique(recent.map((event) => event.host)),
    node: unique(recent.map((event) => event.node)),
  };
}
