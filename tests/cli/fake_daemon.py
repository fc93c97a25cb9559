#!/usr/bin/env python3
"""A daemon that answers from canned JSON, for the tests of the command.

    fake_daemon.py SOCKET ANSWERS    listens; requests go to SOCKET.requests
    wirespoold --private FD          answers from $FAKE_ANSWERS; requests go to $FAKE_ANSWERS.requests
    wirespoold --check ...           prints its arguments, exits with $FAKE_CHECK_EXIT

ANSWERS is an object: command -> list of answers, given in order, the last again and again.
Once "stop" (or "abandon") was asked, "COMMAND@stop" goes before "COMMAND". An answer that is a
text is no JSON answer but a deed: "@close", "@hang", "@exit N", "@kill", "@signal NAME" (to the
parent; then the next answer is given), "@log TEXT" (likewise), anything else is sent as it is.
"""

import json
import os
import signal
import socket
import sys
import time


class Answers:
    def __init__(self, path, log):
        with open(path, encoding="utf-8") as f:
            self.lists = json.load(f)
        self.log = log
        self.seen = []

    def take(self, cmd):
        for key in [f"{cmd}@{s}" for s in reversed(self.seen)] + [cmd]:
            if key in self.lists:
                answers = self.lists[key]
                return answers.pop(0) if len(answers) > 1 else answers[0]
        return {"ok": False, "error": f"no answer for '{cmd}'", "usage": False}

    def serve(self, connection):
        lines = connection.makefile("r", encoding="utf-8")
        for line in lines:
            with open(self.log, "a", encoding="utf-8") as f:
                f.write(line)
            cmd = json.loads(line)["cmd"]
            while True:
                answer = self.take(cmd)
                if not isinstance(answer, str):
                    connection.sendall(json.dumps(answer).encode() + b"\n")
                elif answer == "@close":
                    connection.shutdown(socket.SHUT_RDWR)
                    return
                elif answer == "@hang":
                    time.sleep(600)
                elif answer == "@kill":
                    os.kill(os.getpid(), signal.SIGKILL)
                elif answer.startswith("@exit "):
                    os._exit(int(answer[6:]))
                elif answer.startswith("@signal "):
                    os.kill(os.getppid(), getattr(signal, answer[8:]))
                    continue
                elif answer.startswith("@log "):
                    print(answer[5:], file=sys.stderr, flush=True)
                    continue
                else:
                    connection.sendall(answer.encode() + b"\n")
                break
            if cmd in ("stop", "abandon"):
                self.seen.append(cmd)


def listen(path, answers):
    server = socket.socket(socket.AF_UNIX)
    server.bind(path + ".new")
    server.listen()
    # who sees the name can connect
    os.rename(path + ".new", path)
    while True:
        connection, _ = server.accept()
        Answers(answers, path + ".requests").serve(connection)
        connection.close()


def main():
    if sys.argv[1] == "--private":
        answers = os.environ["FAKE_ANSWERS"]
        connection = socket.socket(fileno=int(sys.argv[2]))
        Answers(answers, answers + ".requests").serve(connection)
        sys.exit(int(os.environ.get("FAKE_EXIT", "0")))
    if sys.argv[1] == "--check":
        print(" ".join(sys.argv[1:]))
        sys.exit(int(os.environ.get("FAKE_CHECK_EXIT", "0")))
    listen(sys.argv[1], sys.argv[2])


main()
