"""Warm starts compared with cold ones, and every fault that a test can really cause."""

import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS, WARM = ROOT / "workflow/scripts", ROOT / "warm"
LINE = "--dataset line --model linear --optimizer sgd --lr 0.01 --batch-size full --device cpu"
NAME = (
    "import sys; sys.path.insert(0, sys.argv[1]); import launcher; print(launcher.circumstances())"
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="warm starts need Linux")


class Lab:
    """A folder for sockets that no other server uses, and programs to run there."""

    def __init__(self, folder):
        self.folder = folder
        self.env = {k: v for k, v in os.environ.items() if k != "OPTLAB_WARM"}
        self.env["TMPDIR"] = str(folder)
        self.sockets = folder / f"optlab-{os.getuid()}"

    def program(self, code, name="program.py"):
        path = self.folder / name
        path.write_text(textwrap.dedent(code))
        return str(path)

    def start(self, program, *words, warm=True, options=(), **more):
        launcher = [str(WARM / "launcher.py")] if warm else []
        more = {"env": self.env, "cwd": self.folder, "text": True, **more}
        return subprocess.Popen([sys.executable, *options, *launcher, program, *words], **more)

    def run(self, code, *words, **more):
        more = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, **more}
        process = self.start(self.program(code), *words, **more)
        output, _ = process.communicate(timeout=100)
        return process.returncode, output

    def server(self):
        """The process id of the server, as one of its jobs sees it."""
        status, output = self.run("import os; print(os.getppid())")
        assert status == 0
        assert Path(f"/proc/{output.strip()}").exists(), output
        return int(output)

    def socket(self):
        """Where a launcher started here looks for its server."""
        return self.sockets / self.run(NAME, str(WARM), warm=False)[1].strip()

    def processes(self):
        """Servers and jobs of this folder that are alive."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                alive = "\nState:\tZ" not in (process / "status").read_text()
                if alive and str(self.folder) in (process / "cmdline").read_text():
                    found.append(int(process.name))
            except OSError:
                pass
        return found


def new_lab():
    folder = tempfile.mkdtemp(prefix="w")
    if len(folder) > 60:  # too long for sockets: launchers would use the user's own folder
        shutil.rmtree(folder)
        folder = tempfile.mkdtemp(prefix="w", dir="/tmp")
    return Lab(Path(folder))


def remove(lab):
    for process in lab.processes():
        os.kill(process, signal.SIGKILL)
    shutil.rmtree(lab.folder)


@pytest.fixture(scope="module")
def lab():
    made = new_lab()
    yield made
    remove(made)


@pytest.fixture
def cold_lab():
    """A folder in which no server is expected to start, or only one that fails."""
    made = new_lab()
    yield made
    remove(made)


def until(condition, seconds=5.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.01)
    return False


def gone(process):
    try:
        return "\nState:\tZ" in Path(f"/proc/{process}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


WAIT = """
    import os, subprocess, sys, time
    child = subprocess.Popen(["sleep", "100"])
    print(os.getpid(), child.pid, os.getppid(), flush=True)
    if len(sys.argv) > 1:
        sys.exit("cold") if os.path.exists("begun") else open("begun", "w").close()
    time.sleep(100)
"""


def waiting(lab, *words, **more):
    """A launcher whose program waits, with the ids of program, child and server."""
    more = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, **more}
    launcher = lab.start(lab.program(WAIT, "wait.py"), *words, **more)
    return launcher, *map(int, launcher.stdout.readline().split())


# -- one server ------------------------------------------------------------------------------


def test_launchers_that_start_together_share_one_server(lab):
    program = lab.program("import os; print(os.getppid())")
    launchers = [lab.start(program, stdout=subprocess.PIPE) for _ in range(5)]
    parents = {launcher.communicate(timeout=100)[0] for launcher in launchers}
    assert len(parents) == 1
    assert [launcher.returncode for launcher in launchers] == [0] * 5
    assert lab.processes() == [int(parents.pop())]


def test_fifty_programs_at_once(lab):
    program = lab.program(
        "import os, sys; print(sys.argv[1], os.getppid()); sys.exit(int(sys.argv[1]))"
    )
    launchers = [lab.start(program, str(i), stdout=subprocess.PIPE) for i in range(50)]
    answers = [launcher.communicate(timeout=100)[0].split() for launcher in launchers]
    server = str(lab.server())
    assert answers == [[str(i), server] for i in range(50)]
    assert [launcher.returncode for launcher in launchers] == list(range(50))
    assert until(lambda: not Path(f"/proc/{server}/task/{server}/children").read_text())


def test_a_server_holds_nothing_of_the_project_and_no_gpu(lab):
    status, output = lab.run("""
        import os, sys
        assert "torch" in sys.modules and "torch._dynamo" in sys.modules
        import torch
        assert not torch.cuda.is_initialized() and not torch.cuda._is_in_bad_fork()
        ours = ("optlab", "train", "launcher")
        print([name for name in sys.modules if name.split(".")[0] in ours])
        print(len(os.listdir("/proc/self/task")))
    """)
    assert (status, output) == (0, "[]\n1\n")


@pytest.mark.parametrize(
    "change",
    [
        {"env": {"SLURM_JOB_ID": "1"}},
        {"env": {"SLURM_STEP_ID": "2"}},
        {"env": {"OMP_NUM_THREADS": "3"}},
        {"env": {"LD_LIBRARY_PATH": "/nowhere"}},
        {"env": {"LC_ALL": "C"}},
        {"options": ["-W", "error"]},
        {"preexec_fn": lambda: os.nice(1)},
        pytest.param(
            {"preexec_fn": lambda: os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})},
            marks=pytest.mark.skipif(os.cpu_count() == 1, reason="there is one processor"),
        ),
        {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))},
    ],
    ids=["job", "step", "omp", "ld", "locale", "options", "nice", "processors", "limits"],
)
def test_other_circumstances_have_another_server(lab, change):
    if "env" in change:
        change = {"env": {**lab.env, **change["env"]}}
    usual = lab.run(NAME, str(WARM), warm=False)
    other = lab.run(NAME, str(WARM), warm=False, **change)
    assert usual[0] == other[0] == 0
    assert len(other[1]) == 17
    assert usual != other
    assert usual == lab.run(NAME, str(WARM), warm=False, env={**lab.env, "OTHER": "1"})


# -- warm as cold ----------------------------------------------------------------------------

FACTS = """
    import json, locale, os, signal, sys, tempfile, threading, time
    status = open("/proc/self/status").read().splitlines()
    main = sys.modules["__main__"]
    print(json.dumps({
        "arguments": [sys.argv, sys.orig_argv],
        "main": [__name__, __file__, main.__file__, str(__spec__), __doc__, __package__],
        "path": sys.path, "flags": str(sys.flags), "warnings": sys.warnoptions,
        "folder": os.getcwd(), "umask": os.umask(0), "environment": dict(os.environ),
        "time": time.tzname, "temporary": tempfile.gettempdir(), "locale": locale.getlocale(),
        "signals": [line for line in status if line.startswith(("Sig", "Shd"))][1:],
        "handlers": [str(signal.getsignal(n)) for n in sorted(signal.valid_signals())],
        "files": sorted(os.listdir("/proc/self/fd")), "threads": threading.active_count(),
        "streams": [
            [s.encoding, s.errors, s.line_buffering, s.write_through, s.isatty(), s.fileno()]
            for s in (sys.stdin, sys.stdout, sys.stderr)
        ],
        "standard input": sys.stdin.read(),
        "limits": open("/proc/self/limits").read(),
        "nice": os.nice(0), "processors": sorted(os.sched_getaffinity(0)),
    }))
"""


def odd_caller():
    """Unusual settings that a caller may have made in its process."""
    os.umask(0o027)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])


@pytest.mark.parametrize("caller", [None, odd_caller], ids=["plain", "odd"])
def test_a_program_finds_what_it_would_find_cold(lab, caller):
    env = {
        **lab.env,
        "TZ": "Asia/Tokyo",
        "GREETING": "gr\udcfc\xdf = x\n",
        "TMPDIR": lab.env["TMPDIR"],
    }
    lab.server()  # which another launcher has started, in its own circumstances
    (lab.folder / "sub").mkdir(exist_ok=True)
    lab.program(FACTS, "facts.py")
    found = []
    for warm in (True, False):
        with open(lab.folder / "facts.py") as given:
            process = lab.start(
                *("../facts.py", "-x", "", "two words", "\u00e9"),
                warm=warm,
                env=env,
                cwd=lab.folder / "sub",
                preexec_fn=caller,
                stdin=given,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            output, errors = process.communicate(timeout=100)
        assert (process.returncode, errors) == (0, "")
        found.append(json.loads(output))
    assert found[0] == found[1]


ENDINGS = {
    "nothing": "print('done')",
    "status": "import sys; sys.exit(3)",
    "none": "import sys; sys.exit()",
    "negative": "import sys; sys.exit(-1)",
    "256": "import sys; sys.exit(256)",
    "huge": "import sys; sys.exit(2**70)",
    "text": "import sys; print('out'); sys.exit('text')",
    "tuple": "import sys; sys.exit((1, 2))",
    "exception": "def f():\n    {}['k']\ntry:\n    f()\nexcept KeyError:\n    raise ValueError",
    "hook": "import sys; sys.excepthook = lambda *a: print('hook', a[0], a[2].tb_lineno); 1 / 0",
    "syntax": "print(1)\nx = = 2\n",
    "interrupt": "raise KeyboardInterrupt",
    "_exit": "import os; print('lost'); os._exit(7)",
    "abort": "import os; os.abort()",
    "segmentation": "import ctypes; ctypes.string_at(0)",
    "terminated": "import os; os.kill(os.getpid(), 15)",
    "killed": "import os; os.kill(os.getpid(), 9)",
    "order": "import sys\nfor i in range(3000):\n    print(i)\n    print(-i, file=sys.stderr)",
    "atexit": (
        "import atexit, threading, time\natexit.register(print, 'last')\n"
        "threading.Thread(target=lambda: (time.sleep(0.2), print('thread'))).start()\nprint('main')"
    ),
    "open file": (
        "import gzip, sys\nsys.stderr.write('no newline')\n"
        "file = gzip.open('left.gz', 'wt')\nfile.write('text')\n"
    ),
    "closed output": "import os; print('lost'); os.close(1)",
    "unreadable": None,
}


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("ending", ENDINGS)
def test_a_program_ends_as_it_would_end_cold(lab, ending, unbuffered):
    lab.env["PYTHONUNBUFFERED"] = unbuffered
    results = []
    for warm in (True, False):
        left = lab.folder / "left.gz"
        left.unlink(missing_ok=True)
        code = ENDINGS[ending]
        program = lab.program(code, "ending.py") if code else str(lab.folder / "missing.py")
        process = lab.start(program, warm=warm, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        output = process.communicate(timeout=100)[0]
        content = subprocess.run(["gzip", "-dc", left], capture_output=True, check=False).stdout
        results.append((process.returncode, output, content))
    assert results[0] == results[1]
    assert (results[0][2] == b"text") == (ending == "open file")


def test_large_environments_arguments_and_output(lab):
    env = {**lab.env, **{f"LARGE_{i}": str(i) * 100_000 for i in range(8)}}
    words = ["x" * 100_000] * 5
    code = """
        import os, sys
        print(len(str(sys.argv)) + sum(map(len, os.environ.values())) > 1_200_000)
        print("y" * 10**6)
    """
    status, output = lab.run(code, *words, env=env)
    assert (status, output) == (0, "True\n" + "y" * 10**6 + "\n")


def test_random_numbers_differ_from_program_to_program(lab):
    code = "import random, numpy; print(random.random(), numpy.random.rand())"
    first, second = (lab.run(code)[1].split() for _ in range(2))
    assert first[0] != second[0]
    assert first[1] != second[1]


def test_time_and_memory_are_the_programs_own(lab):
    code = """
        import resource, time
        used = resource.getrusage(resource.RUSAGE_SELF)
        print(used.ru_utime + used.ru_stime, time.process_time(), used.ru_maxrss / 1024)
    """
    cpu, process, memory = map(float, lab.run(code)[1].split())
    assert cpu < 0.5
    assert process < 0.5
    assert 50 < memory < 2000


def test_training_warm_gives_the_digits_of_training_cold(lab):
    rows = []
    for warm in (True, False):
        words = [*LINE.split(), "--epochs", "50", "--output", f"trained-{warm}"]
        process = lab.start(str(SCRIPTS / "train.py"), *words, warm=warm, stdout=subprocess.PIPE)
        output = process.communicate(timeout=100)[0]
        assert process.returncode == 0, output
        table = (lab.folder / f"trained-{warm}" / "metrics.tsv").read_text().splitlines()
        seconds = table[0].split("\t").index("seconds")
        rows.append([[v for i, v in enumerate(r.split("\t")) if i != seconds] for r in table])
        record = json.loads((lab.folder / f"trained-{warm}" / "run.json").read_text())
        rows[-1].append(record["seeds"][0]["final_weights"])
    assert len(rows[0]) == 53
    assert rows[0] == rows[1]


@pytest.mark.parametrize("given", [None, "2"])  # Snakemake gives each job its own
def test_matrix_products_of_numpy_have_one_thread_warm_and_cold(lab, given):
    code = """
        import sys; sys.path.insert(0, sys.argv[1])
        import optlab, numpy, threadpoolctl
        pools = threadpoolctl.threadpool_info()
        print({pool["num_threads"] for pool in pools if pool["user_api"] == "blas"})
    """
    env = {**lab.env, **({"OPENBLAS_NUM_THREADS": given} if given else {})}
    server = lab.server()
    for warm in (True, False):
        assert lab.run(code, str(SCRIPTS), warm=warm, env=env) == (0, "{1}\n")
    assert lab.server() == server


def test_a_name_for_cold_starts(lab):
    code = "import sys; print('torch' in sys.modules)"
    assert lab.run(code, env={**lab.env, "OPTLAB_WARM": "0"}) == (0, "False\n")
    assert lab.run(code) == (0, "True\n")


# -- signals ---------------------------------------------------------------------------------


def test_signals_reach_the_program_once(lab):
    code = """
        import signal, sys, time
        got = []
        for name in ("SIGTERM", "SIGINT", "SIGUSR1", "SIGHUP"):
            signal.signal(getattr(signal, name), lambda number, frame: got.append(number))
        print("ready", flush=True)
        while len(got) < 4:
            time.sleep(0.01)
        time.sleep(0.1)
        print(got)
        sys.exit(5)
    """
    launcher = lab.start(lab.program(code), stdout=subprocess.PIPE)
    launcher.stdout.readline()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP):
        launcher.send_signal(number)
        time.sleep(0.05)
    assert launcher.communicate(timeout=10)[0] == "[15, 2, 10, 1]\n"
    assert launcher.returncode == 5


def test_an_interrupt_ends_a_program_as_it_would_cold(lab):
    code = """
        import threading, time
        threading.Timer(0.3, print, ["ready"], {"flush": True}).start()
        time.sleep(100)
    """
    results = []
    for warm in (True, False):
        more = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        launcher = lab.start(lab.program(code), warm=warm, **more)
        launcher.stdout.readline()
        launcher.send_signal(signal.SIGINT)
        results.append((launcher.communicate(timeout=10)[0], launcher.returncode))
    assert results[0] == results[1]
    assert results[0][0].endswith("\nKeyboardInterrupt\n")
    assert results[0][1] == -signal.SIGINT


def test_a_program_stops_and_goes_on_with_its_launcher(lab):
    code = """
        import time
        while True:
            print("on", flush=True)
            time.sleep(0.01)
    """
    with open(lab.folder / "ticks", "w+") as ticks:
        launcher = lab.start(lab.program(code), stdout=ticks)
        try:
            size = lambda: os.fstat(ticks.fileno()).st_size  # noqa: E731
            assert until(lambda: size() > 0, 30)
            launcher.send_signal(signal.SIGTSTP)
            state = Path(f"/proc/{launcher.pid}/status")
            assert until(lambda: "\nState:\tT" in state.read_text())
            time.sleep(0.1)
            before = size()
            time.sleep(0.3)
            assert size() == before
            launcher.send_signal(signal.SIGCONT)
            assert until(lambda: size() > before)
        finally:
            launcher.kill()
            launcher.wait(timeout=10)


def test_an_ignored_interrupt_stays_ignored(lab):
    ignore = lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)  # noqa: E731
    launcher, process, child, _ = waiting(lab, preexec_fn=ignore)
    launcher.send_signal(signal.SIGINT)
    time.sleep(0.2)
    assert launcher.poll() is None
    ignored = Path(f"/proc/{process}/status").read_text().partition("SigIgn:")[2].split()[0]
    assert int(ignored, 16) & 1 << signal.SIGINT - 1
    launcher.kill()
    launcher.communicate(timeout=10)
    assert until(lambda: gone(process) and gone(child))


# -- faults ----------------------------------------------------------------------------------


def test_a_killed_launcher_takes_program_and_children_with_it(lab):
    launcher, process, child, server = waiting(lab)
    launcher.kill()
    assert until(lambda: gone(process) and gone(child), 1.0)
    launcher.communicate(timeout=10)
    assert lab.server() == server


def test_a_killed_program_leaves_the_server_alone(lab):
    launcher, process, child, server = waiting(lab)
    os.kill(process, signal.SIGKILL)
    os.kill(child, signal.SIGKILL)
    launcher.communicate(timeout=10)
    assert launcher.returncode == -signal.SIGKILL
    assert lab.server() == server


def test_programs_of_a_killed_server_start_again_cold(lab):
    (lab.folder / "begun").unlink(missing_ok=True)
    launcher, process, child, server = waiting(lab, "again")
    assert until((lab.folder / "begun").exists)
    os.kill(server, signal.SIGKILL)
    line = launcher.stdout.readline()
    assert (
        line == "no warm start: the server was killed, and the program with it: starting it again\n"
    )
    assert gone(process)
    assert until(lambda: gone(child), 1.0)
    # The program, the second time, says on which process it runs: the launcher's own.
    again, second, _ = map(int, launcher.stdout.readline().split())
    assert again == launcher.pid
    assert launcher.wait(10) == 1
    os.kill(second, signal.SIGKILL)
    # Its socket is still there; the next launcher starts another server.
    assert lab.socket().exists()
    assert lab.server() != server


def test_a_program_outlives_neither_server_nor_launcher(lab):
    launcher, process, _, server = waiting(lab)
    launcher.send_signal(signal.SIGSTOP)  # it cannot see to the end of its program
    os.kill(server, signal.SIGKILL)
    assert until(lambda: gone(process), 1.0)
    launcher.kill()
    os.killpg(process, signal.SIGKILL)  # the program's child
    launcher.communicate(timeout=10)


@pytest.mark.slow
def test_launchers_that_die_early_do_no_harm(lab):
    server = lab.server()
    path = str(lab.socket())
    here = os.open(lab.folder, os.O_RDONLY)
    for sent in (None, b"", b"\0\0", b"\0\0\1\0half", b"\0\0\0\4junk"):
        with socket.socket(socket.AF_UNIX) as launcher:
            launcher.connect(path)
            if sent is not None:
                socket.send_fds(launcher, [b"."], [here, here, here, here])
                launcher.sendall(sent)
    os.close(here)
    assert lab.server() == server
    assert until(lambda: lab.processes() == [server])


@pytest.mark.parametrize("stream", [0, 1, 2])
def test_a_closed_stream_means_a_cold_start(lab, stream):
    code = """
        import os, sys
        closed = [stream is None for stream in (sys.stdin, sys.stdout, sys.stderr)]
        os.write(2 if closed[1] else 1, str(closed).encode())
    """
    launcher = [sys.executable, WARM / "launcher.py", lab.program(code)]
    result = subprocess.run(
        ["sh", "-c", f'exec "$@" {stream}>&-', "sh", *launcher],
        capture_output=True, text=True, env=lab.env, timeout=100, check=False,
    )  # fmt: skip
    closed = str([stream == n for n in range(3)])
    line = f"no warm start: standard stream {stream} is closed\n" if stream != 2 else ""
    assert result.stdout + result.stderr in (line + closed, closed + line)
    assert result.returncode == 0


def spoil_symlink(lab):
    (lab.folder / "elsewhere").mkdir(mode=0o700)
    lab.sockets.symlink_to(lab.folder / "elsewhere")


def spoil_mode(lab):
    lab.sockets.mkdir()
    lab.sockets.chmod(0o750)


def spoil_owner(lab):
    if os.getuid() != 0:
        pytest.skip("only root can give a folder away")
    lab.sockets.mkdir(mode=0o700)
    os.chown(lab.sockets, 65534, 65534)


@pytest.mark.parametrize("spoil", [spoil_symlink, spoil_mode, spoil_owner])
def test_a_folder_that_is_not_ones_own_is_not_used(cold_lab, spoil):
    spoil(cold_lab)
    status, output = cold_lab.run("print('cold')")
    reason = f"no warm start: {cold_lab.sockets} is not a folder that only you can enter\n"
    assert (status, output) == (0, f"{reason}cold\n")
    assert not cold_lab.processes()


def as_other_user(action):
    """Do something in a process of another user; returns its exit status."""
    process = os.fork()
    if process == 0:
        try:
            os._exit(action() or 0)
        except BaseException as error:
            os.write(2, repr(error).encode())
            os._exit(99)
    return process


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_a_socket_of_another_user_is_not_used(cold_lab):
    cold_lab.sockets.mkdir(mode=0o700)
    path = str(cold_lab.socket())

    def serve():
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        os.setuid(65534)
        listener.listen()
        listener.settimeout(60)
        while True:
            taken = listener.accept()[0]
            if taken.recv(1):
                os._exit(1)

    other = as_other_user(serve)
    try:
        assert until(lambda: Path(path).exists())
        time.sleep(0.1)
        result = cold_lab.run("print('cold')")
        assert result == (0, f"no warm start: {path} belongs to another user\ncold\n")
    finally:
        os.kill(other, signal.SIGKILL)
        os.waitpid(other, 0)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_a_launcher_of_another_user_is_refused(lab):
    server, path = lab.server(), lab.socket()
    for opened, mode in ((lab.folder, 0o711), (lab.sockets, 0o711), (path, 0o777)):
        opened.chmod(mode)

    def launch():
        os.setuid(65534)
        launcher = socket.socket(socket.AF_UNIX)
        launcher.settimeout(10)
        launcher.connect(str(path))
        try:
            return len(launcher.recv(4))
        except ConnectionResetError:
            return 0

    try:
        assert os.waitpid(as_other_user(launch), 0)[1] == 0
    finally:
        lab.sockets.chmod(0o700)
    assert lab.server() == server


def test_servers_that_leave_at_once_mean_a_cold_start(cold_lab):
    cold_lab.sockets.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(cold_lab.socket()))
        listener.listen()
        listener.settimeout(60)
        program = cold_lab.program("print('cold')")
        launcher = cold_lab.start(program, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for _ in range(3):
            listener.accept()[0].close()
        output = launcher.communicate(timeout=10)[0]
    assert output == "no warm start: no server accepts the program\ncold\n"


FAKE = """
    import sys, threading, time
    class optim:
        def SGD(*a, **k): pass
    class cuda:
        is_initialized = staticmethod(lambda: {initialized})
        _is_in_bad_fork = staticmethod(lambda: {bad})
    def zeros(*a, **k): pass
    {more}
"""


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"more": "raise ImportError('broken')"}, "broken"),
        (
            {"more": "threading.Thread(target=time.sleep, args=[9], daemon=True).start()"},
            "threads",
        ),
        ({"initialized": True}, "GPU"),
        ({"bad": True}, "GPU"),
    ],
    ids=["broken", "threads", "cuda", "bad fork"],
)
def test_a_torch_that_cannot_be_forked_means_cold_starts(cold_lab, facts, reason):
    """The package is a stand-in: the real one never does this on a machine of tests."""
    package = cold_lab.folder / "torch"
    (package / "utils").mkdir(parents=True)
    for name in ("version.py", "utils/__init__.py", "utils/serialization.py"):
        (package / name).touch()
    facts = {"initialized": False, "bad": False, "more": "", **facts}
    (package / "__init__.py").write_text(textwrap.dedent(FAKE).format(**facts))
    env = {**cold_lab.env, "PYTHONPATH": str(cold_lab.folder)}
    begun = time.time()
    for _ in range(2):  # the second does not try again
        status, output = cold_lab.run("print('cold')", env=env)
        line, rest = output.split("\n", 1)
        log = line.removeprefix("no warm start: the server failed, see ")
        assert (status, rest) == (0, "cold\n")
        assert reason in Path(log).read_text()
        assert Path(log).stat().st_mtime >= begun - 1
        os.utime(log, (begun + 1, begun + 1))
    assert Path(log).stat().st_mtime == pytest.approx(begun + 1)
    assert not cold_lab.processes()


def test_a_server_that_died_has_not_failed(lab):
    """Killed while it started, or by a fault while it served: each left something in its log."""
    path = lab.socket()
    server = lab.server()
    for text in ("Killed while torch gave a war", "Traceback\nMemoryError: \n"):
        os.kill(server, signal.SIGKILL)
        assert until(lambda: gone(server), 5.0)  # noqa: B023
        path.with_name(f"{path.name}.log").write_text(text)
        before, server = server, lab.server()
        assert server != before


@pytest.mark.parametrize("error", ["MemoryError()", "ImportError('cannot allocate memory')"])
def test_a_machine_that_is_busy_may_be_less_busy_for_the_next(cold_lab, error):
    package = cold_lab.folder / "torch"
    package.mkdir()
    (package / "version.py").touch()
    (package / "__init__.py").write_text(f"raise {error}")
    env = {**cold_lab.env, "PYTHONPATH": str(cold_lab.folder)}
    reason = "no warm start: the server was killed at each of its starts\n"
    for _ in range(2):
        assert cold_lab.run("print('cold')", env=env) == (0, f"{reason}cold\n")


def test_a_server_removes_what_killed_ones_have_left_and_nothing_else(lab):
    lab.sockets.mkdir(mode=0o700, exist_ok=True)
    (lab.sockets / "gpu-machine-0").touch()
    dead, failed = lab.sockets / f"{1:016x}", lab.sockets / f"{2:016x}"
    for name in (dead, f"{dead}.4711", f"{dead}.log", failed, f"{failed}.log"):
        Path(name).touch()
    Path(f"{failed}.log").write_text("this server cannot start\n")
    server = lab.server()
    os.kill(server, signal.SIGKILL)
    assert until(lambda: gone(server), 5.0)
    lab.server()
    own = lab.socket()
    left = {file.name for file in lab.sockets.iterdir()}
    expected = {"gpu-machine-0", failed.name, f"{failed.name}.log", own.name, f"{own.name}.log"}
    assert left == expected
    for name in ("gpu-machine-0", failed.name, f"{failed.name}.log"):
        (lab.sockets / name).unlink()


def test_other_systems_start_cold(cold_lab):
    """Without what Linux alone has; macOS itself is not at hand."""
    code = f"""
        import os, runpy, select, signal, socket, sys
        del os.sched_getaffinity, os.sched_getscheduler, os.O_PATH, os.pipe2
        del socket.SO_PEERCRED, select.POLLRDHUP
        sys.platform = "darwin"
        warm = {str(WARM / "launcher.py")!r}
        sys.argv = [warm, {str(cold_lab.folder / "cold.py")!r}, "word"]
        sys.orig_argv = [sys.executable, *sys.argv]
        runpy.run_path(warm, run_name="__main__")
    """
    cold_lab.program("import sys; print(sys.argv[1:])", "cold.py")
    result = cold_lab.run(code, warm=False)
    assert result == (0, "no warm start: darwin is not supported\n['word']\n")
    assert not cold_lab.sockets.exists()


@pytest.mark.slow
def test_an_idle_server_leaves_nothing_behind(lab):
    server = lab.server()
    assert until(lambda: gone(server), 10)
    assert not lab.processes()
    assert not list(lab.sockets.iterdir())
