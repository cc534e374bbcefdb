"""Export collected tweets to a folder or an object store: CSV, JSON Lines or Parquet, with a manifest written last.

Triggered by hand or by another Dag, with parameters. `destination` is a folder as an ObjectStoragePath, such as
`s3://aws_default@bucket/exports` or `file:///data/exports`.

Red? The destination refused, or the disk is full: no file has the final name, so run it again. `Refused`: a file with
that name already exists.
"""

from datetime import timedelta
from typing import Any

from airflow.sdk import Param, dag, task

from pipeline_policies import HOUSE_DEFAULTS
from pipeline_stores import SETTINGS, metrics, reader

TEXT_OR_NOTHING = ["null", "string"]


@dag(
    schedule=None,
    catchup=False,
    max_active_runs=2,
    dagrun_timeout=timedelta(hours=6),
    default_args=HOUSE_DEFAULTS,
    doc_md=__doc__,
    tags=["tweets", "export"],
    params={
        "format": Param("parquet", type="string", enum=["csv", "jsonl", "parquet"]),
        "destination": Param(SETTINGS.exports_folder.as_uri(), type="string", minLength=1),
        "rule": Param(None, type=TEXT_OR_NOTHING, description="Only tweets found by this rule."),
        "author": Param(None, type=TEXT_OR_NOTHING, description="Only tweets by this account."),
        "since": Param(None, type=TEXT_OR_NOTHING, description="Created at this time or later, ISO 8601."),
        "until": Param(None, type=TEXT_OR_NOTHING, description="Created before this time, ISO 8601."),
    },
)
def tweet_export():
    @task(multiple_outputs=False, retries=2, execution_timeout=timedelta(hours=5))
    def deliver(params=None) -> dict[str, Any]:
        """Write the data, then the manifest; return the contents of the manifest."""
        from dataclasses import asdict

        from airflow.sdk import ObjectStoragePath

        from twitter_pipeline.exports import delivery
        from twitter_pipeline.serving.selection import Selection

        selection = Selection.of(**{name: params[name] for name in ("rule", "author", "since", "until")})
        with reader() as connection:
            folder = ObjectStoragePath(params["destination"])
            manifest = delivery.deliver(connection, folder, params["format"], selection)
        metrics().count("export_tweets_total", manifest.tweets, format=manifest.format)
        return asdict(manifest)

    deliver()


tweet_export()
