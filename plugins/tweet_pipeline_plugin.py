"""The pipeline's Airflow plugin: the REST API and the status page, behind Airflow's login.

Airflow mounts plugin apps without any login. So each route of the app requires a user who may view plugins; if Airflow
ever moves the function imported for that, nobody gets in. The app is built only in the API server.
"""

from functools import cached_property
from typing import Annotated, Any

from airflow.plugins_manager import AirflowPlugin

PREFIX = "/tweet-pipeline"


def _authenticate() -> Any:
    """The dependency that turns Airflow's user into a principal: users who may view plugins may read."""
    from fastapi import Depends, HTTPException

    from twitter_pipeline.api.access import READ, Principal

    try:
        from airflow.api_fastapi.auth.managers.models.resource_details import AccessView
        from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_view

        may_see_plugins = requires_access_view(AccessView.PLUGINS)
    except ImportError as moved:
        reason = f"closed: this Airflow version has no access check known to the plugin ({moved.name})"

        def nobody() -> None:
            raise HTTPException(403, reason)

        return nobody

    async def user_as_principal(user: GetUserDep, _: Annotated[None, Depends(may_see_plugins)]) -> Principal:
        return Principal(str(user.get_name()), frozenset({READ}))

    return user_as_principal


class TweetPipelinePlugin(AirflowPlugin):
    """Mounts the API and adds the page to the navigation."""

    name = "tweet_pipeline"
    external_views = [  # noqa: RUF012 - Airflow reads a plain list
        {"name": "Tweets", "href": f"{PREFIX}/", "destination": "nav", "url_route": "tweet-pipeline"}
    ]

    @cached_property
    def fastapi_apps(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """The app under its prefix; read from the instance, and only by the API server."""
        from airflow.configuration import conf

        from twitter_pipeline import settings
        from twitter_pipeline.api.app import create_app

        app = create_app(
            settings.load(),
            authenticate=_authenticate(),
            airflow_url=conf.get("api", "base_url", fallback=""),
        )
        return [{"app": app, "url_prefix": PREFIX, "name": "Tweet pipeline"}]
