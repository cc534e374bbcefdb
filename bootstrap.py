"""Make the virtual environment in .venv (or VENV) match requirements.lock exactly; this has no prerequisites.

Runs on any Python 3, so that it can say which version is missing. A second run is instant: the stamp, written last, holds
a hash of everything that was installed. After an interruption, simply run it again.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile

OLDEST = (3, 11)
CLONE = os.path.dirname(os.path.abspath(__file__))
VENV = os.path.join(CLONE, os.environ.get("VENV") or ".venv")
PYTHON = os.path.join(VENV, "bin", "python")
STAMP = os.path.join(VENV, "installed")
LOCK = os.path.join(CLONE, "requirements.lock")
DISTRIBUTIONS = ["include", "providers/twitter/envelope", "providers/twitter", "providers/twitter/simulator"]
NEEDED_MEGABYTES = 3000
NO_NETWORK = "is there a network, or a package index that pip is configured for?"


def say(message):
    sys.stderr.write(f"{message}\n")


def stop(message):
    sys.exit(f"bootstrap: {message}")


def use_new_enough_python():
    """Continue under a newer Python from the PATH if this one is too old."""
    if sys.version_info >= OLDEST:
        return
    for name in ("python3.11", "python3.12", "python3.13"):
        found = shutil.which(name)
        if found:
            os.execv(found, [found, os.path.abspath(__file__)])  # noqa: S606 - no shell is wanted
    stop(
        f"this is Python {sys.version_info[0]}.{sys.version_info[1]}, but 3.11 or newer is needed; "
        "install one and run `make PYTHON=python3.11 up`"
    )


def fingerprint():
    """A hash of everything that determines the content of the environment, including its location."""
    digest = hashlib.sha256(f"{CLONE} {sys.version_info[:2]}".encode())
    files = [LOCK, os.path.abspath(__file__)]
    files += [os.path.join(CLONE, folder, "pyproject.toml") for folder in DISTRIBUTIONS]
    for path in files:
        with open(path, "rb") as file:
            digest.update(file.read())
    return digest.hexdigest()


def installed():
    try:
        with open(STAMP) as stamp:
            return stamp.read() == fingerprint() and os.path.exists(PYTHON)
    except OSError:
        return False


def run(command, trouble, environment=None):
    if subprocess.call(command, cwd=CLONE, env=environment) != 0:
        stop(trouble)


def make_venv():
    """Create a virtual environment with pip; one that is broken or for another Python is recreated."""
    probe = [PYTHON, "-c", f"import pip, sys; sys.exit(sys.version_info[:2] != {sys.version_info[:2]!r})"]
    try:
        with open(os.path.join(VENV, "pyvenv.cfg")):
            if subprocess.call(probe, stderr=subprocess.DEVNULL) == 0:
                return
    except OSError:
        pass
    say(f"creating the virtual environment {os.path.relpath(VENV, CLONE)}")
    run(
        [sys.executable, "-m", "venv", "--clear", VENV],
        "Python's venv module did not work; on Debian and Ubuntu, install the package python3-venv",
    )


def install_uv():
    """Install the uv version that the lock file pins, verified by its hashes, with pip."""
    with open(LOCK) as lock:
        pinned = re.search(r"^uv==.*?(?=^\S)", lock.read() + "\n#", re.MULTILINE | re.DOTALL)
    if pinned is None:
        stop("requirements.lock pins no uv")
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as only_uv:
        only_uv.write(pinned.group())
        only_uv.flush()
        pip = [PYTHON, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--require-hashes"]
        run([*pip, "--no-deps", "-r", only_uv.name], "pip could not install uv; " + NO_NETWORK)


def environment_for_uv():
    """An environment that gives uv the same package index as pip, which reads other settings."""
    environment = dict(os.environ, VIRTUAL_ENV=VENV)
    if not any(name in environment for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX")):
        asked = [PYTHON, "-m", "pip", "--disable-pip-version-check", "config", "get", "global.index-url"]
        answer = subprocess.run(asked, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
        index = environment.get("PIP_INDEX_URL") or answer.stdout.decode().strip()
        if index:
            environment["UV_DEFAULT_INDEX"] = index
    return environment


def install():
    free = shutil.disk_usage(CLONE).free // 1000000
    if free < NEEDED_MEGABYTES:
        stop(f"the disk of {CLONE} has {free} MB free; the environment needs {NEEDED_MEGABYTES} MB")
    make_venv()
    if os.path.exists(STAMP):
        os.remove(STAMP)
    install_uv()
    environment = environment_for_uv()
    uv = [os.path.join(VENV, "bin", "uv"), "pip"]
    say("installing requirements.lock (some minutes without a package cache)")
    run(
        [*uv, "sync", "--require-hashes", "--compile-bytecode", LOCK],
        "the packages of requirements.lock could not be installed; " + NO_NETWORK,
        environment,
    )
    editable = [word for folder in DISTRIBUTIONS for word in ("--editable", os.path.join(CLONE, folder))]
    run(
        [*uv, "install", "--no-deps", "--no-build-isolation", *editable],
        "the project's own distributions could not be installed",
        environment,
    )
    with open(STAMP + ".new", "w") as stamp:
        stamp.write(fingerprint())
    os.replace(STAMP + ".new", STAMP)
    say("the environment is complete")


def main():
    use_new_enough_python()
    if installed():
        return
    try:
        with open(LOCK) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # a second bootstrap waits and then finds everything done
            if not installed():
                install()
    except OSError as error:
        stop(f"{error.filename or CLONE}: {error.strerror}")
    except KeyboardInterrupt:
        stop("interrupted; run it again to continue")


if __name__ == "__main__":
    main()
