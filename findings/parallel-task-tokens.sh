#!/usr/bin/env bash
# One would guess: in an emulator of Step Functions each waitForTaskToken task of a Parallel state sends
# a token of its own, as each branch has its own context object.
# What is: in ministack 1.5.33 the branches are threads that share one context. A branch writes its token
# there ($$.Task.Token), resolves its parameters from it, and then reads it again to wait. A branch that
# is switched out in between sends, or waits for, the token of another; one of the two then waits for
# ever. Python's usual switch interval (5 ms) hides it on an idle machine: this script makes it shorter.
# Giving each task a copy of the context ends it.
# Why it matters: a workflow that is right hangs now and then on a loaded machine, with no error, and the
# worker that answers tokens is looked at first.
# Exits non-zero if that changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q ministack==1.5.33
cat > "$work/race.py" <<'PY'
import sys
from ministack.services import stepfunctions

SEND = "arn:aws:states:::sqs:sendMessage"
sent = []

def send(_resource, data):
    token = data["MessageBody"]["token"]
    sent.append(token)
    stepfunctions._send_task_success({"taskToken": token, "output": "{}"})

stepfunctions._SERVICE_DISPATCH[SEND] = send
if "copy" in sys.argv:
    execute = stepfunctions._execute_task
    stepfunctions._execute_task = lambda state, data, run, context: execute(state, data, run, {**context})
task = {"Type": "Task", "Resource": f"{SEND}.waitForTaskToken", "TimeoutSeconds": 1, "End": True}
task["Parameters"] = {"QueueUrl": "q", "MessageBody": {"token.$": "$$.Task.Token"}}
state = {"Type": "Parallel", "Branches": [{"StartAt": "A", "States": {"A": task}}] * 5, "End": True}
sys.setswitchinterval(0.00001)
wrong = 0
for _ in range(500):
    sent.clear()
    try:
        stepfunctions._run_parallel_branches(state, {}, {"events": [], "status": "RUNNING"}, {"State": {}})
    except stepfunctions._ExecutionError:
        wrong += 1  # States.Timeout: no worker was sent the token that a branch waits for
    else:
        wrong += len(set(sent)) < 5
print(wrong)
PY
shared=$("$work/venv/bin/python" "$work/race.py")
copied=$("$work/venv/bin/python" "$work/race.py" copy)
echo "of 500 Parallel states with 5 branches, wrong: $shared with a shared context, $copied with copies"
[ "$shared" -gt 0 ] && [ "$copied" -eq 0 ]
