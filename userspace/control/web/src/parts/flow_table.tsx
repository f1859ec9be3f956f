// The table of flow records. Only the rows near the screen are in the document, so that thousands may be loaded.
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { useMedia } from "../hooks.ts";
import { bytes, count, duration, endpoint } from "../lib/format.ts";
import type { FlowEvent } from "../lib/types.ts";
import { eventText, reasonText, stageText } from "../lib/words.ts";
import { Time, Verdict } from "./values.tsx";

interface Props {
  events: FlowEvent[];
  now: number;
  selected: number;
  onOpen: (index: number) => void;
  label: string;
  longTimes?: boolean; // the range is over a day
  busy?: boolean; // other rows are on their way
}

// The heights that table.css gives to a row.
const ROW = 30;
const NARROW_ROW = 54;
const OVERSCAN = 25;
export const NARROW = "(max-width: 760px)";

export function FlowTable({ events, now, selected, onOpen, label, longTimes = false, busy = false }: Props) {
  const height = useMedia(NARROW) ? NARROW_ROW : ROW;
  const body = useRef<HTMLTableSectionElement>(null);
  const [first, last] = useVisibleRows(body, events.length, height);
  useSelectedInView(body, selected, height);
  return (
    <table class={`flows ${longTimes ? "long-times" : ""}`} aria-label={label} aria-rowcount={events.length} aria-busy={busy}>
      <thead>
        <tr>
          <th class="c-time">Time</th>
          <th class="c-verdict">Verdict</th>
          <th class="c-event">Event</th>
          <th class="c-agent">Agent</th>
          <th class="c-dst">Destination</th>
          <th class="c-proto">Proto</th>
          <th class="c-src">Source</th>
          <th class="c-bytes num" title="Bytes out and in">
            Out / In
          </th>
          <th class="c-time-spent num">Duration</th>
          <th class="c-rule">Rule or reason</th>
        </tr>
      </thead>
      <tbody ref={body}>
        {first > 0 && <tr class="spacer" style={{ height: `${first * height}px` }} aria-hidden="true" />}
        {events.slice(first, last).map((event, place) => (
          <FlowRow key={event.eventId} event={event} now={now} index={first + place} selected={first + place === selected} onOpen={onOpen} />
        ))}
        {last < events.length && <tr class="spacer" style={{ height: `${(events.length - last) * height}px` }} aria-hidden="true" />}
      </tbody>
    </table>
  );
}

interface RowProps {
  event: FlowEvent;
  now: number;
  index: number;
  selected: boolean;
  onOpen: (index: number) => void;
}

function FlowRow({ event, now, index, selected, onOpen }: RowProps) {
  return (
    <tr class={selected ? "row selected" : "row"} aria-selected={selected} aria-rowindex={index + 1} data-event={event.eventId} onClick={() => onOpen(index)}>
      <td class="c-time">
        <Time value={event.ts} now={now} millis />
      </td>
      <td class="c-verdict">
        <Verdict event={event} />
      </td>
      <td class="c-event muted">{isFlow(event) ? eventText(event.event) : ""}</td>
      <td class="c-agent" title={event.agentId}>
        {event.agentId}
      </td>
      <Destination event={event} />
      <td class="c-proto">{event.protocol}</td>
      <td class="c-src" title={endpoint(event.srcIp, event.srcPort)}>
        {endpoint(event.srcIp, event.srcPort)}
      </td>
      <td class="c-bytes num">{isFlow(event) && `${bytes(event.bytesOut)} / ${bytes(event.bytesIn)}`}</td>
      <td class="c-time-spent num">{event.event === "end" || event.event === "update" ? duration(event.durationMs ?? 0) : ""}</td>
      <td class="c-rule" title={reasonText(event.reason)}>
        {event.rule || <span class="muted">{event.reason === "none" ? "" : event.reason}</span>}
      </td>
    </tr>
  );
}

const isFlow = (event: FlowEvent): boolean => event.event !== "loss" && event.event !== "policy";

function Destination({ event }: { event: FlowEvent }) {
  if (event.event === "loss") {
    return (
      <td class="c-dst">
        {count(event.count)} lost: {stageText(event.stage)}
      </td>
    );
  }
  if (event.event === "policy") return <td class="c-dst muted">policy {event.policyGeneration ?? ""} in force</td>;
  const address = endpoint(event.dstIp, event.dstPort);
  return (
    <td class="c-dst" title={event.host ? `${event.host} ${address}` : address}>
      <span class="way" role="img" aria-label={event.direction || "flow"} title={event.direction}>
        {event.direction === "ingress" ? "←" : "→"}
      </span>{" "}
      {event.host ? (
        <>
          <b>{event.host}</b> <span class="muted">{address}</span>
        </>
      ) : (
        address
      )}
    </td>
  );
}

// [first, last) of the rows that are on the screen or near it.
function useVisibleRows(body: { current: HTMLElement | null }, rows: number, height: number): [number, number] {
  const [range, setRange] = useState<[number, number]>([0, 80]);
  useLayoutEffect(() => {
    let frame = 0;
    const update = (): void => {
      frame = 0;
      const top = -(body.current?.getBoundingClientRect().top ?? 0);
      const first = Math.max(0, Math.floor(top / height) - OVERSCAN);
      const last = Math.ceil((top + window.innerHeight) / height) + OVERSCAN;
      // In steps, so that a scroll does not render at every frame.
      setRange((old) => (Math.abs(old[0] - first) + Math.abs(old[1] - last) < OVERSCAN ? old : [first, last]));
    };
    const later = (): void => {
      frame ||= requestAnimationFrame(update);
    };
    update();
    window.addEventListener("scroll", later, { passive: true });
    window.addEventListener("resize", later);
    return () => {
      cancelAnimationFrame(frame);
      window.removeEventListener("scroll", later);
      window.removeEventListener("resize", later);
    };
  }, [height, rows > 0]);
  return [Math.min(range[0], rows), Math.min(range[1], rows)];
}

// Keyboard moves bring their row on the screen, below the sticky heads.
function useSelectedInView(body: { current: HTMLElement | null }, selected: number, height: number): void {
  useEffect(() => {
    if (selected < 0 || !body.current) return;
    const top = body.current.getBoundingClientRect().top + selected * height;
    const head = 90;
    if (top < head) window.scrollBy(0, top - head);
    else if (top + height > window.innerHeight) window.scrollBy(0, top + height - window.innerHeight + 8);
  }, [selected]);
}
