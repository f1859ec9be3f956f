// Is the record complete? One sentence and what to do, from the watermark, the unexplained gaps and the named losses.
import { ago, localTime, parseTime, plural } from "./format.ts";
import type { Completeness, Digest, Gap, Reject, Source } from "./types.ts";

export type Level = "good" | "warn" | "bad" | "none";

export interface Judgement {
  level: Level;
  sentence: string;
  remedy: string;
}

// A source that said nothing for this long is late: the writer flushes within seconds and reports at least every minute
// while it has traffic.
const LATE_SECONDS = 300;

export function judge(state: Completeness, now: number): Judgement {
  const watermark = parseTime(state.watermark);
  if (state.gaps > 0) {
    return {
      level: "bad",
      sentence: `The record is not complete: ${plural(state.gaps, "record is", "records are")} missing and nothing explains it.`,
      remedy: "Integrity names the node and the numbers. Look there at the node's audit file with “lattice audit verify”.",
    };
  }
  if (watermark === undefined && state.lost === 0) {
    return {
      level: "none",
      sentence: "Nothing was recorded in the last hour.",
      remedy: "A node reports when its data plane runs with --nats-url and --agent-name.",
    };
  }
  const upTo = watermark === undefined ? "" : ` up to ${localTime(watermark, now)}`;
  if (state.lost > 0) {
    return {
      level: "warn",
      sentence: `Known losses: ${plural(state.lost, "record was", "records were")} lost for a recorded reason; all others are here${upTo}.`,
      remedy: "Integrity and the loss events in Flows say where and why.",
    };
  }
  if (watermark !== undefined && now - watermark > LATE_SECONDS * 1000) {
    return {
      level: "warn",
      sentence: `The record is complete${upTo} (${ago(watermark, now)}); a source has been quiet since.`,
      remedy: "An idle agent is quiet too. If it is at work, look at its node and its way to NATS.",
    };
  }
  return { level: "good", sentence: `The record is complete${upTo}.`, remedy: "Nothing is missing and nothing was lost." };
}

// The same for the Integrity page, with all that is known.
export function judgeAll(sources: Source[], gaps: Gap[], digests: Digest[], rejects: Reject[]): Judgement {
  const open = gaps.filter((gap) => !gap.explainedBy);
  const missing = open.reduce((sum, gap) => sum + gap.lastSeq - gap.firstSeq + 1, 0);
  const forged = digests.filter((digest) => digest.signature && digest.signatureValid === false);
  const behind = sources.filter((source) => source.head && source.head.seq > source.lastSeq);
  const lost = sources.reduce((sum, source) => sum + source.lost, 0);
  if (forged.length > 0) {
    return {
      level: "bad",
      sentence: `${plural(forged.length, "digest has", "digests have")} a signature that does not hold.`,
      remedy: "Somebody changed a digest, or the node's key. Keep its audit files as they are and run “lattice audit verify” there.",
    };
  }
  if (missing > 0) {
    const nodes = [...new Set(open.map((gap) => gap.node))].join(", ");
    return {
      level: "bad",
      sentence: `Not complete: ${plural(missing, "record")} of ${nodes} ${missing === 1 ? "is" : "are"} missing and nothing explains it.`,
      remedy: "They may still come. If not, run “lattice audit verify” on the node: it says whether its file has them.",
    };
  }
  if (behind.length > 0) {
    return {
      level: "warn",
      sentence: `${plural(behind.length, "node has", "nodes have")} written more than has come here.`,
      remedy: "This is normal for seconds. If it stays, look at the node's way to NATS.",
    };
  }
  if (lost > 0) {
    return {
      level: "warn",
      sentence: `Complete except for ${plural(lost, "record")} that a loss event explains.`,
      remedy: "The events with event=loss in Flows say where and why they were lost.",
    };
  }
  if (rejects.length > 0) {
    return {
      level: "warn",
      sentence: `Complete, but ${plural(rejects.length, "message was", "messages were")} no valid record.`,
      remedy: "They are kept below as they came. An agent that is not ours, or of another version, sends to lattice.audit.flow.",
    };
  }
  if (sources.length === 0) {
    return {
      level: "none",
      sentence: "No node has reported yet.",
      remedy: "A node reports when its data plane runs with --nats-url and --agent-name.",
    };
  }
  return {
    level: "good",
    sentence: `Complete: every record that ${plural(sources.length, "source", "sources")} wrote is here.`,
    remedy: "No number is missing, nothing was lost, and every signature holds.",
  };
}
