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
  const [open, setOpen] = useState<string>();
  const shown = rows.events.find((event) => event.eventId === open);
  const openAt = (index: number): void => {
    select(index);
    setOpen(rows.events[index]?.eventId);
  };
  const [selected, select] = useRowKeys(rows.events.length, openAt, () => setOpen(undefined));
  useKeys({ r: rows.reload });
  // With the details open, j and k show the next record's.
  useEffect(() => {
    if (open && selected >= 0) setOpen(rows.events[selected]?.eventId);
  }, [selected]);
  useEffect(() => {
    select(-1);
    setOpen(undefined);
  }, [search]);

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
          {rows.loading && rows.events.length === 0 ? "Loading…" : statusOf(rows, now)}
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
      <FlowTable events={rows.events} now={now} selected={selected} onOpen={openAt} label="Flow records" longTimes={range.to - range.from > DAY_MS} />
      {rows.events.length === 0 && (rows.loading ? <Loading /> : !rows.error && <NoRows view={view} onChange={show} />)}
      <Older rows={rows} order={view.order} />
      {shown && <FlowDetails event={shown} view={view} onClose={() => setOpen(undefined)} />}
    </>
  );
}

interface Rows {
  events: FlowEvent[];
  page: FlowPage | undefined; // the newest answer, for its completeness
  error: string;
  loading: boolean;
  more: boolean;
  full: boolean;
  loadMore: () => void;
  reload: () => void;
}

function useRows(view: View): Rows {
  const query = queryOf(view, { limit: String(PAGE) });
  const [events, setEvents] = useState<FlowEvent[]>([]);
  const [page, setPage] = useState<FlowPage>();
  const [error, setError] = useState("");
  const [loading, setLoading] = useState(true);
  const [round, setRound] = useState(0);
  const abort = useRef<AbortController | undefined>(undefined);

  const fetchPage = useCallback((path: string, before: FlowEvent[]) => {
    abort.current?.abort();
    const mine = new AbortController();
    abort.current = mine;
    setLoading(true);
    get<FlowPage>(path, mine.signal).then(
      (answer) => {
        setEvents(before.concat(answer.list));
        setPage(answer);
        setError("");
        setLoading(false);
      },
      (reason: unknown) => {
        if (isAbort(reason)) return;
        setError(messageOf(reason));
        setLoading(false);
      },
    );
  }, []);

  useEffect(() => {
    setPage(undefined);
    fetchPage(`/api/v1/audit/flow?${query}`, []);
    return () => abort.current?.abort();
  }, [query, round]);

  const cursor = page?.nextCursor ?? "";
  const full = events.length >= MAX_ROWS;
  return {
    events,
    page,
    error,
    loading,
    more: cursor !== "" && !full,
    full: cursor !== "" && full,
    loadMore: () => {
      if (!loading && cursor && !full) fetchPage(`/api/v1/audit/flow?${query}&cursor=${encodeURIComponent(cursor)}`, events);
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
