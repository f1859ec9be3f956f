#!/usr/bin/env python3
"""Turns one ctest run into counts, and holds skips to what tests/expected-skips allows.

  results.py suite LABEL JUNIT XML_DIR OUT   counts one ctest run into the file OUT
  results.py stage NAME STATUS OUT           completes OUT by how the stage ended
  results.py report EXPECTED_SKIPS OUT…      prints failures, skips and the last line

A gtest program counts by its cases. A program that left no XML (crash, timeout)
is one failure, and so is one whose cases all passed but which ended badly (a leak
found at exit); suite prints the last lines of each that failed. Any other ctest entry counts as one. Of what a stage of
scripts/test writes, OUT is a JSON list of {"name", "result", "reason"}.
"""

import collections
import json
import pathlib
import re
import sys
import xml.etree.ElementTree as ElementTree

LAST_LINES = 60  # of a failed program; a sanitizer's report has about 40


def skip_reason(case):
    element = case.find("skipped")
    text = (element.get("message") or element.text or "") if element is not None else ""
    lines = [line.strip() for line in text.splitlines()]
    # gtest puts "file:line" first; the CDATA says "Skipped" at its end.
    lines = [line for line in lines if line and not re.fullmatch(r"\S+:\d+", line)]
    return lines[0] if lines else "no reason given"


def gtest_cases(path, program):
    """The results of one gtest XML file."""
    results = []
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        name = f"{program}:{case.get('classname')}.{case.get('name')}"
        if case.find("failure") is not None or case.find("error") is not None:
            results.append({"name": name, "result": "failed", "reason": "see the log above"})
        elif case.get("result") == "skipped" or case.find("skipped") is not None:
            results.append({"name": name, "result": "skipped", "reason": skip_reason(case)})
        elif case.get("status") == "notrun":
            results.append({"name": name, "result": "skipped", "reason": "disabled"})
        else:
            results.append({"name": name, "result": "passed", "reason": ""})
    return results


def output_of(entry):
    """What a program printed, of its JUnit entry."""
    element = entry.find("system-out")
    return (element.text or "") if element is not None else ""


def bad_end(output):
    """Why a program without a failed case failed, as far as its output tells."""
    reason = "crash, timeout or a finding at exit"
    verdicts = re.findall(r"^SUMMARY: (.+)", output, re.MULTILINE)
    if verdicts:
        reason = verdicts[0]
    begun = re.findall(r"^\[ RUN      \] (\S+)", output, re.MULTILINE)
    ended = re.findall(r"^\[ +(?:OK|FAILED|SKIPPED) +\] ([^\s,]+)", output, re.MULTILINE)
    return f"ended badly in {begun[-1]}: {reason}" if begun and begun[-1] not in ended else f"ended badly: {reason}"


def last_words(junit):
    """The end of what each program that failed printed: the whole is further up, before all that came later."""
    lines = []
    if junit.is_file():
        for entry in ElementTree.parse(junit).getroot().iter("testcase"):
            if entry.get("status") == "fail":
                lines.append(f"the last {LAST_LINES} lines of {entry.get('name')}:")
                lines += ["    " + line for line in output_of(entry).rstrip().splitlines()[-LAST_LINES:]]
    return lines


def suite(label, junit, xml_directory):
    """The results of one ctest run: its JUnit file, and the gtest files beside it."""
    if not junit.is_file():
        return [{"name": label, "result": "failed", "reason": "ctest left no result"}]
    results = []
    for entry in ElementTree.parse(junit).getroot().iter("testcase"):
        program = entry.get("name")
        status = entry.get("status")
        xml = xml_directory / f"{program}.xml"
        cases = []
        if xml.is_file():
            try:
                cases = gtest_cases(xml, program)
            except ElementTree.ParseError:
                results.append({"name": program, "result": "failed", "reason": "its XML is cut short"})
                continue
            if not cases:
                results.append({"name": program, "result": "failed", "reason": "it ran no test"})
        results += cases
        if status == "run":
            if not xml.is_file():
                results.append({"name": program, "result": "passed", "reason": ""})
        elif status in ("notrun", "disabled"):
            message = entry.find("skipped")
            reason = message.get("message", "") if message is not None else ""
            results.append({"name": program, "result": "skipped" if status == "disabled" else "failed",
                            "reason": reason or status})
        elif not any(case["result"] == "failed" for case in cases):
            results.append({"name": program, "result": "failed",
                            "reason": bad_end(output_of(entry))})
    return results or [{"name": label, "result": "failed", "reason": "ctest found no test"}]


def stage(name, status, out):
    """The results of a stage: what it wrote, or itself as one; an unexplained failure is added."""
    results = json.loads(out.read_text(encoding="utf-8")) if out.is_file() else []
    if status == 0 and not results:
        results = [{"name": name, "result": "passed", "reason": ""}]
    elif status != 0 and not any(result["result"] == "failed" for result in results):
        results.append({"name": name, "result": "failed", "reason": f"exit status {status}"})
    return results


def allowed_skips(path):
    """{reason: count} of tests/expected-skips: `COUNT REASON` a line, # comments."""
    allowed = collections.Counter()
    for line in path.read_text(encoding="utf-8").splitlines():
        line = line.split("#", 1)[0].strip()
        if line:
            count, reason = line.split(None, 1)
            allowed[reason] += int(count)
    return allowed


def report(expected, outputs):
    results = [result for path in outputs for result in json.loads(path.read_text(encoding="utf-8"))]
    skips = collections.Counter(r["reason"] for r in results if r["result"] == "skipped")
    allowed = allowed_skips(expected)
    for reason, count in sorted(skips.items()):
        if count > allowed[reason]:
            results.append({"name": "skips", "result": "failed",
                            "reason": f"{count} skipped, {expected.name} allows {allowed[reason]}: {reason}"})
    counts = collections.Counter(r["result"] for r in results)
    for reason, count in sorted(skips.items()):
        print(f"  skipped {count}: {reason}")
    for result in results:
        if result["result"] == "failed":
            print(f"  FAILED {result['name']}: {result['reason']}")
    print(f"{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped")
    return 1 if counts["failed"] or not counts["passed"] else 0


def main(arguments):
    if len(arguments) == 5 and arguments[0] == "suite":
        label, junit, xml_directory, out = arguments[1:]
        results = suite(label, pathlib.Path(junit), pathlib.Path(xml_directory))
        pathlib.Path(out).write_text(json.dumps(results), encoding="utf-8")
        counts = collections.Counter(r["result"] for r in results)
        print(*last_words(pathlib.Path(junit)), f"{counts['passed']} passed, {counts['failed']} failed, "
              f"{counts['skipped']} skipped", sep="\n")
        return 1 if counts["failed"] else 0
    if len(arguments) == 4 and arguments[0] == "stage":
        name, status, out = arguments[1:]
        results = stage(name, int(status), pathlib.Path(out))
        pathlib.Path(out).write_text(json.dumps(results), encoding="utf-8")
        return 0
    if len(arguments) >= 3 and arguments[0] == "report":
        return report(pathlib.Path(arguments[1]), [pathlib.Path(a) for a in arguments[2:]])
    sys.exit(__doc__)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
