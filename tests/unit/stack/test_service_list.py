"""The one list of services: complete, without cycles, on loopback, and stopped in a safe order."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from twitter_pipeline import cli
from twitter_pipeline.deployment.topics import replication
from twitter_pipeline.stack import launcher, settings
from twitter_pipeline.stack.code_fingerprint import code_fingerprint
from twitter_pipeline.stack.log_files import trim
from twitter_pipeline.stack.services import Stack, assemble
from twitter_pipeline.stack.supervision import Supervisor


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    """The stack as a newcomer gets it, assembled and not started."""
    environment = {"PIPELINE_HOME": str(tmp_path / "home"), "PIPELINE_BROKER": "tansu"}
    return assemble(settings.load(environment, launched=False, root=tmp_path))


def test_every_need_is_in_the_list_and_nothing_needs_itself(stack: Stack) -> None:
    """There is a valid start order."""
    done: set[str] = set()
    while ready := [
        name for name, node in stack.nodes.items() if name not in done and done.issuperset(node.needs)
    ]:
        done.update(ready)
    assert done == stack.nodes.keys()


def test_tasks_are_stopped_before_anything_that_they_use(stack: Stack) -> None:
    """The scheduler, whose tasks are producers and drains, needs every store, broker and server of its tasks."""
    needs = launcher._launch(stack)["services"]["scheduler"]["needs"]
    assert {"airflow", "broker", "mongo", "postgres", "simulator", "sns", "topics"} <= set(needs)


def test_no_command_line_holds_a_secret(stack: Stack) -> None:
    """Any user can list processes, so passwords are not in their command lines."""
    folder = stack.settings.home / "secrets"
    secrets = {path.read_text() for path in folder.iterdir()}
    words = " ".join(word for service in stack.services for word in service.server.command())
    assert secrets
    assert not [secret for secret in secrets if secret in words]


def test_nothing_listens_beyond_loopback(stack: Stack) -> None:
    """Each address that the stack gives to a server or a client is this machine's own."""
    text = str(launcher._launch(stack))
    assert "0.0.0.0" not in text  # noqa: S104 - looked for, not bound
    assert "127.0.0.1" in text


def test_the_files_with_secrets_are_private(stack: Stack) -> None:
    """The launcher's file for the services is readable only by the owner."""
    supervisor = Supervisor(stack.settings.home)
    stack.settings.run.mkdir(parents=True)
    launcher._write(supervisor.launch_file, launcher._launch(stack))
    assert supervisor.launch_file.stat().st_mode & 0o777 == 0o600
    assert launcher.read_launch(supervisor) == launcher._launch(stack)


def test_the_simulators_world_begins_once(stack: Stack) -> None:
    """A second assembly in the same home has the same world; otherwise its tweets would change with each start."""
    again = assemble(stack.settings)
    assert again.nodes["simulator"].server.command() == stack.nodes["simulator"].server.command()


def test_every_process_of_ours_is_restarted_by_new_code(stack: Stack, tmp_path: Path) -> None:
    """Every service that runs our packages or loads our plugins records which code it started with."""
    with_our_code = {service.name for service in stack.services if service.code}
    ours = {"simulator", "topics", "airflow", "scheduler", "dag-processor", "triggerer"}
    assert ours <= with_our_code <= ours | {"metrics"}


def test_code_is_known_by_every_file_of_it(tmp_path: Path) -> None:
    """A changed, new or renamed file counts as new code; what Python writes next to it does not."""
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    seen = [code_fingerprint(tmp_path)]
    for change in (
        lambda: (plugins / "page.py").write_text("1"),
        lambda: (plugins / "page.py").write_text("2"),
        lambda: (plugins / "page.html").write_text("2"),
        lambda: (plugins / "page.py").rename(plugins / "pages.py"),
    ):
        change()
        seen.append(code_fingerprint(tmp_path))
    assert len(set(seen)) == 5
    (plugins / "__pycache__").mkdir()
    (plugins / "__pycache__" / "pages.pyc").write_bytes(b"3")
    assert code_fingerprint(tmp_path) == seen[-1]


@pytest.mark.parametrize(
    ("brokers", "expected"),
    [
        (0, (1, {})),
        (1, (1, {})),
        (2, (2, {"min.insync.replicas": "1"})),
        (3, (3, {"min.insync.replicas": "2"})),
        (12, (3, {"min.insync.replicas": "2"})),
    ],
)
def test_topics_get_the_copies_that_the_cluster_allows(
    brokers: int, expected: tuple[int, dict[str, str]]
) -> None:
    """Three where there are three brokers, so that one may be lost while another is away."""
    assert replication(brokers) == expected


def test_every_command_of_the_table_loads() -> None:
    """Each name in the command table leads to a command with help."""
    for name in cli.COMMANDS:
        result = CliRunner().invoke(cli.main, [name, "--help"])
        assert result.exit_code == 0, result.output


def test_status_of_a_stack_that_was_never_started(tmp_path: Path) -> None:
    """Status without a stack says so and creates nothing."""
    result = CliRunner().invoke(cli.main, ["status"], env={"PIPELINE_HOME": str(tmp_path / "home")})
    assert (result.exit_code, "Nothing has been started" in result.output) == (0, True)
    assert not (tmp_path / "home").exists()


def test_a_wrong_setting_is_one_sentence(tmp_path: Path) -> None:
    """Commands report an invalid setting by name, without a traceback."""
    result = CliRunner().invoke(
        cli.main, ["up"], env={"PIPELINE_BROKER": "x", "PIPELINE_HOME": str(tmp_path)}
    )
    assert (result.exit_code, result.output.startswith("Error: PIPELINE_BROKER")) == (1, True)


def test_a_log_that_grew_too_large_is_cut_and_kept_once(tmp_path: Path) -> None:
    """The content is moved aside, and the file starts again empty."""
    log = tmp_path / "service.log"
    log.write_bytes(b"x" * 1_500_000)
    trim(tmp_path, largest_megabytes=1)
    assert (log.stat().st_size, (tmp_path / "service.log.1").stat().st_size) == (0, 1_500_000)
