"""Airflow's plugin of the pipeline: the REST API and the page, behind Airflow's login.

Airflow mounts plugin apps without any login of its own. So each route of the app asks for a user who may see plugins;
should Airflow ever move what is imported for that, nobody is let in. The app is built in the API server only.
"""

from functools import cached_property
from typing import Annotated, Any

from airflow.plugins_manager import AirflowPlugin

PREFIX = "/tweet-pipeline"


def _authenticate() -> Any:
    """The dependency that makes a principal of Airflow's user: whoever may see plugins may read."""
    from fastapi import Depends, HTTPException

    from twitter_pipeline.api.access import READ, Principal

    try:
        from airflow.api_fastapi.auth.managers.models.resource_details import AccessView
        from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_view

        may_see_plugins = requires_access_view(AccessView.PLUGINS)
    except ImportError as moved:
        reason = f"closed: this Airflow has no access check that the plugin knows ({moved.name})"

        def nobody() -> None:
            raise HTTPException(403, reason)

        return nobody

    async def user_as_principal(user: GetUserDep, _: Annotated[None, Depends(may_see_plugins)]) -> Principal:
        return Principal(str(user.get_name()), frozenset({READ}))

    return user_as_principal


class TweetPipelinePlugin(AirflowPlugin):
    """Mounts the API and puts the page into the navigation."""

    name = "tweet_pipeline"
    external_views = [  # noqa: RUF012 - Airflow reads a plain list
        {"name": "Tweets", "href": f"{PREFIX}/", "destination": "nav", "url_route": "tweet-pipeline"}
    ]

    @cached_property
    def fastapi_apps(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """The app under its prefix; read from the instance, and by the API server alone."""
        from airflow.configuration import conf

        from twitter_pipeline import settings
        from twitter_pipeline.api.app import create_app

        app = create_app(
            settings.load(),
            authenticate=_authenticate(),
            airflow_url=conf.get("api", "base_url", fallback=""),
        )
        return [{"app": app, "url_prefix": PREFIX, "name": "Tweet pipeline"}]
