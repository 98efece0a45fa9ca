#!/usr/bin/env python3
"""A health-probe in another language, for tcp and http checks with needs. It exists to show that a tool can be swapped."""
import json, os, socket, sys, time, urllib.error, urllib.request
from pathlib import Path
SCHEMAS, READS, WRITES = Path(__file__).resolve().parents[3] / "tools/contract/schemas", "health.checks/v1", "health.report/v1"
CHECK = {"id", "group", "tags", "needs", "wants", "critical", "timeout", "tcp", "http", "postgres"}
KEYS = {"tcp": {"address", "closed"}, "postgres": {"address", "password"}, "http": {"url", "status", "body"}}

def fail(exit, code, message, pointer=None):
    error = {"schema": "error/v1", "tool": "health-probe", "version": "0", "code": code, "exit": exit, "message": message}
    print(json.dumps(error | ({"pointer": pointer} if pointer is not None else {})), file=sys.stderr)
    sys.exit(exit)
def unique(pairs):
    for index, (key, _) in enumerate(pairs):
        if key in dict(pairs[:index]): fail(65, "duplicate_key", f"the key {key} stands twice", f"/{key}")
    return {key: value for key, value in pairs if key not in ("//", "$schema") and not key.startswith("x-")}
def known(value, keys, place):
    for key in value:
        if key not in keys: fail(65, "unknown_field", f"unknown key {key}, allowed: {sorted(keys)}", f"{place}/{key}")
def read(text):
    if not text.strip(): fail(65, "empty_input", "the input is empty")
    try: document = json.loads(text, object_pairs_hook=unique)
    except ValueError as error: fail(65, "syntax", str(error))
    if not isinstance(document, dict): fail(65, "wrong_type", "a document is a JSON object", "")
    if document.get("schema") != READS: fail(65, *(("wrong_schema", f"the document is {document['schema']}, expected {READS}", "/schema") if "schema" in document else ("missing_schema", "the document does not say what it is", "")))
    known(document, {"schema", "vantage", "defaults", "checks"}, "")
    for index, check in enumerate(document["checks"]):
        known(check, CHECK, f"/checks/{index}")
        for kind in set(check) & set(KEYS): known(check[kind], KEYS[kind], f"/checks/{index}/{kind}")
        if not isinstance(check.get("postgres", {}).get("password", {}), dict): fail(65, "wrong_type", "a secret is given by name", f"/checks/{index}/postgres/password")
        for place, need in enumerate(check.get("needs", [])):
            if need not in [other["id"] for other in document["checks"]]: fail(65, "unknown_ref", f"no check is called {need}", f"/checks/{index}/needs/{place}")
    return document["checks"]
def probe(check):
    if "tcp" in check:
        refused = bool(socket.socket().connect_ex((lambda host, port: (host, int(port)))(*check["tcp"]["address"].rsplit(":", 1))))
        return None if refused == check["tcp"].get("closed", False) else "connect_refused" if refused else "port_open"
    try: status, body = (lambda answer: (answer.status, answer.read().decode()))(urllib.request.urlopen(check["http"]["url"], timeout=5))
    except urllib.error.HTTPError as error: status, body = error.code, ""
    except OSError: return "connect_refused"
    if status not in check["http"].get("status", range(200, 300)): return "http_status"
    return None if all(condition.get("contains", "") in body for condition in check["http"].get("body", [])) else "body_mismatch"
def report(checks):
    reasons, needs = {check["id"]: probe(check) for check in checks}, {check["id"]: check.get("needs", []) for check in checks}
    roots = lambda name: {root for need in needs[name] for root in (roots(need) or ({need} if reasons[need] else set()))}
    rows = [{"id": name, "kind": "check", "ms": 0, "state": "up"} | ({"reason": why, "blocked_by": sorted(roots(name)), "state": "unreachable" if roots(name) else "down"} if why else {}) for name, why in reasons.items()]
    causes = [{"id": row["id"], "reason": row["reason"], "message": row["reason"], "impacts": [other["id"] for other in rows if row["id"] in other.get("blocked_by", [])]} for row in rows if row["state"] == "down"]
    return {"schema": WRITES, "status": "down" if causes else "up", "started_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "ms": 0, "rounds": 1, "summary": {state: sum(row["state"] == state for row in rows) for state in ["up", "degraded", "down", "unreachable", "unknown", "skipped"]}, "root_causes": causes, "checks": rows}
def main(args):
    words = [arg for arg in args if arg not in ("--log-format", "--output", "json", "text")]
    if args in (["--help"], ["--version"]): return "health-probe 0 (exit codes: 0 1 2 65 66 74 75 76 78 130)", 0
    if args[:1] == ["--schema"] and args[1:] in ([], [READS], [WRITES]): return "\n".join((SCHEMAS / (kind.replace("/", ".") + ".json")).read_text() for kind in args[1:]) or f"{READS}\n{WRITES}", 0
    if words[:1] != ["run"]: fail(2, "usage", "expected: health-probe run [FILE]")
    try: answer = report(read(Path(words[1]).read_text() if words[1:] else sys.stdin.read()))
    except OSError as error: fail(66, "io", str(error))
    return answer["status"] if "text" in args else json.dumps(answer), int(answer["status"] == "down")
text, code = main(sys.argv[1:])
try: print(text, flush=True)
except OSError as error: os._exit(0 if isinstance(error, BrokenPipeError) else 74)
sys.exit(code)
