"""Starts a program as systemd does: service-manager.py <notify socket> <port> <command>...

With a port, a listening socket is its third descriptor. What it is told is printed line by line.
"""
import os
import signal
import socket
import sys

path, port, command = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
told.bind(path)
# A descriptor number that the runtime does not take for something else.
place = socket.socket()
place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
place.bind(("127.0.0.1", port))
place.listen(64)
child = os.fork()
if child == 0:
    os.environ.update(NOTIFY_SOCKET=path, WATCHDOG_USEC="400000", WATCHDOG_PID=str(os.getpid()))
    if port:
        os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
        descriptor = os.dup(place.fileno())
        os.dup2(descriptor, 3)
        os.set_inheritable(3, True)
    os.execv(command[0], command)
print(f"PID={child}", flush=True)
signal.signal(signal.SIGTERM, lambda *_: os.kill(child, signal.SIGTERM))
signal.signal(signal.SIGCHLD, lambda *_: None)
while True:
    told.settimeout(0.2)
    try:
        print(told.recv(4096).decode(), flush=True)
    except (TimeoutError, InterruptedError):
        pass
    ended, status = os.waitpid(child, os.WNOHANG)
    if ended:
        print(f"EXIT={os.waitstatus_to_exitcode(status)}", flush=True)
        break
