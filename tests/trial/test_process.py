"""A consensus module in another language: judged like any other, and named when it misbehaves."""

import json
import re
import shutil
import sys
from pathlib import Path

import pytest

from kvraft.check.properties import Property
from kvraft.check.trial import Outcome, Promise, Stuck, judge_consensus
from kvraft.errors import BadInput
from kvraft.trial import Command, judge_command

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "tests" / "helpers" / "minimal_raft.js"
PAGE = ROOT / "notebooks" / "book" / "own_raft.md"
node = pytest.mark.skipif(shutil.which("node") is None, reason="there is no node here")


def judged(command, seconds=20, seed=1):
    """Judge a command in one run, and make little of it small."""
    made = Command(command, seconds)
    try:
        return judge_consensus(made, title=command, runs=1, seed=seed, shrinking=3)
    finally:
        made.close()


def answering(tmp_path, *answers):
    """Return a command whose process gives these answers, one after another, whatever comes."""
    script = tmp_path / "answers.py"
    lines = [each if isinstance(each, str) else json.dumps(each) for each in answers]
    script.write_text(
        f"import sys\nanswers = {lines!r}\n"
        "for line in sys.stdin:\n"
        "    print(answers.pop(0) if len(answers) > 1 else answers[0], flush=True)\n"
    )
    return f"{sys.executable} {script}"


@node
def test_a_right_one_comes_out_clean():
    report = judged(f"node {SCRIPT}")
    assert not report.broken
    assert report.verdict(Property.LOG_MATCHING).outcome is Outcome.HOLDS


@node
def test_a_wrong_one_is_found():
    assert Property.ONE_VOTE in [v.name for v in judged(f"node {SCRIPT} 'votes twice'").broken]


@node
def test_one_that_hangs_is_named_with_the_line():
    with pytest.raises(Stuck, match=r"did not answer within 2 seconds to the line {"):
        judged(f"node {SCRIPT} hangs", seconds=2)


@node
@pytest.mark.parametrize(
    ("bug", "words"),
    [
        ("dies", "ended with status 3 to the line {"),
        ("babbles", "answers 'I lead!', which is not a line of JSON (to the line {"),
    ],
)
def test_one_that_dies_or_babbles_is_named_with_the_line(bug, words):
    verdict = judged(f"node {SCRIPT} {bug}").verdict(Promise.ANSWERS)
    assert verdict.outcome is Outcome.BROKEN
    assert words in verdict.what


STATE = {"role": "follower", "term": 0, "vote": None}
REPLY = {"type": "RequestVoteReply", "from": "n1", "to": "n2", "term": 1, "granted": True}


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ([], "answers [], where an answer is a table"),
        ({"role": "follower", "term": 0}, "answers an answer without the field 'vote'"),
        ({**STATE, "term": "0"}, 'answers an answer with term "0"'),
        ({**STATE, "term": True}, "answers an answer with term true"),
        ({**STATE, "role": "king"}, "has the role 'king'"),
        ({**STATE, "colour": 1}, "there is no field 'colour'"),
        ({**STATE, "commit": 3}, "the commit index is 3, and its log has 0"),
        ({**STATE, "commit": -1}, "the commit index is -1, not a whole number"),
        ({**STATE, "entries": 3}, "entries 3, which should be a list"),
        ({**STATE, "entries": [{"index": 1}]}, "an entry without the field 'term'"),
        (
            {**STATE, "entries": [{"index": 2, "term": 1, "data": "x"}]},
            "entry 2 does not follow on entry 0",
        ),
        (
            {**STATE, "messages": [{"type": "Hello", "from": "n1", "to": "n2"}]},
            "no message 'Hello'",
        ),
        ({**STATE, "messages": [{**REPLY, "size": 1}]}, "RequestVoteReply has no field 'size'"),
        (
            {**STATE, "messages": [{n: v for n, v in REPLY.items() if n != "granted"}]},
            "RequestVoteReply lacks the field 'granted'",
        ),
        ({**STATE, "messages": [{**REPLY, "granted": 1}]}, "granted should be true or false"),
    ],
)
def test_nonsense_is_named_with_the_line(tmp_path, answer, words):
    verdict = judged(answering(tmp_path, answer)).verdict(Promise.ANSWERS)
    assert verdict.outcome is Outcome.BROKEN
    assert words in verdict.what
    assert "\n" not in verdict.what


def test_what_is_no_command_is_refused():
    with pytest.raises(Stuck, match="no-such-program cannot be started: No such file"):
        judge_command("no-such-program")
    with pytest.raises(BadInput, match="the command is empty"):
        judge_command("")
    with pytest.raises(BadInput, match="cannot be read"):
        judge_command("node 'x")


def test_each_line_of_the_page_is_one_that_is_spoken():
    """The page has a line of each kind, and the answers on it are taken."""
    lines = re.findall(r"^(→|←) (\{.*\})$", PAGE.read_text("utf-8"), re.MULTILINE)
    kinds = [json.loads(line)["type"] for arrow, line in lines if arrow == "→"]
    assert {"start", "tick", "message", "propose"} <= set(kinds)
    for arrow, line in lines:
        answer = json.loads(line)
        if arrow == "←":
            command = Command("node")
            for message in answer.get("messages", ()):
                command.message_in(message, "kvraft")
            for entry in answer.get("entries", ()):
                command.entry_in(entry)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (
            "sys.stdin.readline(); print('half', end='', flush=True); time.sleep(60)",
            "'half', and no",
        ),
        ("time.sleep(60)", "it wrote nothing"),
    ],
)
def test_one_that_is_silent_is_named_with_what_it_wrote(code, words):
    with pytest.raises(Stuck, match=words):
        judged(f'{sys.executable} -c "import sys, time; {code}"', seconds=3)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("print('x' * (3 << 20), flush=True); time.sleep(60)", "without an end of the line"),
        ("os.close(1); time.sleep(60)", "closed its output, and runs on"),
        ("os.write(1, (json.dumps(state) + chr(10)).encode() * 2); time.sleep(9)", "answers twice"),
    ],
)
def test_one_that_writes_too_much_or_no_more_is_named(tmp_path, code, words):
    script = tmp_path / "wild.py"
    script.write_text(
        f"import json, os, sys, time\nstate = {STATE!r}\nsys.stdin.readline()\n{code}\n"
    )
    assert words in judged(f"{sys.executable} {script}", seconds=3).verdict(Promise.ANSWERS).what


def test_a_path_with_blanks_wants_quotes(tmp_path):
    script = tmp_path / "my raft"
    script.write_text("")
    with pytest.raises(Stuck, match="a path with blanks needs quotes"):
        judge_command(str(script))
