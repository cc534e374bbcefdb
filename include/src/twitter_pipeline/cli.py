"""The command `twitter-pipeline`: a table of subcommands, each imported when it is called."""

import importlib

import click

COMMANDS = {
    "up": "twitter_pipeline.stack.commands:up",
    "down": "twitter_pipeline.stack.commands:down",
    "status": "twitter_pipeline.stack.commands:status",
    "clean": "twitter_pipeline.stack.commands:clean",
    "migrate": "twitter_pipeline.deployment.commands:migrate",
    "topics": "twitter_pipeline.deployment.commands:topics",
    "rules": "twitter_pipeline.collection.rules_command:rules",
    "metrics": "twitter_pipeline.health.command:metrics",
    "import": "twitter_pipeline.archives.command:import_",
    "dead-letters": "twitter_pipeline.dead_letters.command:dead_letters",
    "raw": "twitter_pipeline.dead_letters.raw_command:raw",
    "export": "twitter_pipeline.exports.command:export",
    "spend": "twitter_pipeline.collection.command:spend",
    "search": "twitter_pipeline.exports.command:search",
    "search-index": "twitter_pipeline.exports.command:search_index",
    "serve": "twitter_pipeline.api.command:serve",
}


class _CommandTable(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def invoke(self, ctx: click.Context) -> object:
        from twitter_pipeline.deployment.errors import DeploymentError
        from twitter_pipeline.settings import SettingsError

        try:
            return super().invoke(ctx)
        except (SettingsError, DeploymentError) as error:
            raise click.ClickException(str(error)) from error


@click.command(cls=_CommandTable)
def main() -> None:
    """Collect tweets from the X API, through Kafka and MongoDB, into PostgreSQL."""


if __name__ == "__main__":
    main()
