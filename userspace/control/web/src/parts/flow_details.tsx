// Everything that one record says, beside the table.
import type { ComponentChildren } from "preact";
import { endText, eventText, isFixable, reasonText, stageText } from "../lib/words.ts";
import { bytes, count, duration, endpoint, plural } from "../lib/format.ts";
import { hostNetwork } from "../lib/cidr.ts";
import { addTerm, printView, type View } from "../lib/filter.ts";
import { flowsLink, sameFlowLink } from "../lib/links.ts";
import type { FlowEvent } from "../lib/types.ts";
import { CloseIcon } from "./icons.tsx";
import { CopyButton, Time, Verdict } from "./values.tsx";

interface Props {
  event: FlowEvent;
  view: View; // links narrow this one
  onClose: () => void;
}

export function FlowDetails({ event, view, onClose }: Props) {
  const item = (label: string, value: ComponentChildren, field?: string, term?: string | number) =>
    value === undefined || value === "" || value === 0 || value === null ? null : (
      <div class="item">
        <dt>{label}</dt>
        <dd>
          {value}
          {field && term ? <Narrow view={view} field={field} value={String(term)} label={label} /> : null}
        </dd>
      </div>
    );
  // A message leaves zeros out: a flow of less than a millisecond has lasted, too.
  const lasted = event.event === "end" || event.event === "update";
  return (
    <aside class="drawer" aria-label="Details of the record">
      <header>
        <Verdict event={event} />
        <h2>
          {event.event === "loss" || event.event === "policy" ? eventText(event.event) : event.host || endpoint(event.dstIp, event.dstPort)}
        </h2>
        <button type="button" class="icon" aria-label="Close details" onClick={onClose}>
          <CloseIcon />
        </button>
      </header>
      <p class="drawer-say">{say(event)}</p>
      <dl>
        {item("Time", <Time value={event.ts} now={0} millis />)}
        {item("Event", eventText(event.event), "event", event.event)}
        {item("Agent", event.agentId, "agentName", event.agentId)}
        {item("Direction", event.direction, "direction", event.direction)}
        {item("Destination", endpoint(event.dstIp, event.dstPort), "dst", event.dstIp && hostNetwork(event.dstIp))}
        {item("Port", event.dstPort, "port", event.dstPort)}
        {item("Host", event.host, "host", event.host)}
        {item("Source", endpoint(event.srcIp, event.srcPort), "src", event.srcIp && hostNetwork(event.srcIp))}
        {item("Protocol", event.protocol, "protocol", event.protocol)}
        {item("Rule", event.rule && <code>{event.rule}</code>, "rule", event.rule)}
        {item("Reason", event.reason !== "none" && event.reason, "reason", event.reason)}
        {event.direction && item("Out", `${bytes(event.bytesOut)}, ${plural(event.packetsOut ?? 0, "packet")}`)}
        {event.direction && item("In", `${bytes(event.bytesIn)}, ${plural(event.packetsIn ?? 0, "packet")}`)}
        {item("Began", event.start && <Time value={event.start} now={0} millis />)}
        {item("Duration", lasted && duration(event.durationMs ?? 0))}
        {item("Ended by", event.endReason !== "none" && event.endReason)}
        {item("Process", [event.comm, event.pid].filter(Boolean).join(" "))}
        {item("Cgroup", event.cgroup)}
        {item("Interface", event.iface)}
        {item("Mode", event.mode)}
        {item("Policy", event.policyGeneration)}
        {item("Stage", event.stage && stageText(event.stage))}
        {item("Lost", event.count && plural(event.count, "record"))}
        {item("Lost from", event.from && <Time value={event.from} now={0} />)}
        {item("Lost to", event.to && <Time value={event.to} now={0} />)}
        {item("Numbers", event.firstSeq && `${count(event.firstSeq)} – ${count(event.lastSeq)}`)}
        {item("Trace", event.traceId, "traceId", event.traceId)}
        {item("Node", event.node, "node", event.node)}
        {item("Event id", <><code class="wrap">{event.eventId}</code> <CopyButton text={event.eventId} what="event id" /></>)}
      </dl>
      <footer>
        {event.dstIp && (
          <a class="button" href={sameFlowLink(event)}>
            All of this flow
          </a>
        )}
        {event.verdict === "drop" && isFixable(event.reason) && (
          <a class="button" href={`/denied${printView({ terms: event.agentId ? [{ field: "agentName", value: event.agentId, negate: false }] : [], from: view.from, to: view.to, order: "desc" })}`}>
            Which rule would allow it?
          </a>
        )}
      </footer>
    </aside>
  );
}

function Narrow({ view, field, value, label }: { view: View; field: string; value: string; label: string }) {
  const link = (negate: boolean): string => {
    const next = addTerm(view, { field, value, negate });
    return flowsLink(next.terms, next);
  };
  return (
    <span class="narrow">
      <a href={link(false)} aria-label={`Only ${label} ${value}`} title={`Only ${label.toLowerCase()} ${value}`}>
        =
      </a>
      <a href={link(true)} aria-label={`Not ${label} ${value}`} title={`Not ${label.toLowerCase()} ${value}`}>
        ≠
      </a>
    </span>
  );
}

// One sentence for somebody who does not know the words.
function say(event: FlowEvent): string {
  if (event.event === "loss") return `${plural(event.count ?? 0, "record")} did not get into the record: ${stageText(event.stage)}.`;
  if (event.event === "policy") return "From here on the node enforces another policy.";
  const why = reasonText(event.reason);
  const verdict = event.verdict === "drop" ? (event.mode === "audit" ? "Would have been denied" : "Denied") : "Allowed";
  const end = event.event === "end" ? endText(event.endReason) : "";
  return `${verdict}${why ? `: ${why}` : ""}.${end ? ` It ended: ${end}.` : ""}`;
}
