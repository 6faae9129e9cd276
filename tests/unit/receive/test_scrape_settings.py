"""Scrape jobs as they are written: Prometheus' format, its defaults, and clear refusals."""

import os
from pathlib import Path

import pytest

from gnomon_server.config import load
from gnomon_server.decode.exposition.formats import accept
from gnomon_server.errors import InvalidInput
from gnomon_server.model.relabel import Relabeller
from gnomon_server.receive.scrape.discovery import Discovery
from gnomon_server.receive.scrape.labels import SampleLabels
from gnomon_server.receive.scrape.settings import ScrapeConfig, ScrapeSettings
from gnomon_server.receive.scrape.targets import DroppedTarget, Target, make_target

JOB = """
scrape:
  interval_s: 30s
  configs:
    - job_name: shop
      scrape_timeout: 1m30s
      scrape_interval: 2m
      body_size_limit: 10MB
      params: {module: [a, b]}
      static_configs: [{targets: ["shop:8000"], labels: {env: prod}}]
      basic_auth: {username: me, password: secret}
      relabel_configs: [{source_labels: [__address__], regex: "(.*):.*", target_label: host}]
"""


def test_a_job_in_our_file(tmp_path: Path) -> None:
    """Jobs stand in the settings file; what they leave open is filled in; secrets are not shown."""
    file = tmp_path / "gnomon.yaml"
    file.write_text(JOB)
    loaded = load({}, {}, file)
    (job,) = loaded.settings.scrape.jobs()
    assert (job.scrape_interval, job.scrape_timeout, job.body_size_limit) == (120_000, 90_000, 10 << 20)
    assert {key: value for key, value, _ in loaded.table()}["scrape.configs"] == "shop"
    assert "secret" not in repr(job)


@pytest.mark.parametrize(
    ("job", "words"),
    [
        ({"job_nam": "x"}, "job_nam"),
        ({"job_name": "x", "proxy_url": "http://p"}, "proxy_url: proxies are not served"),
        ({"job_name": "x", "kubernetes_sd_configs": []}, "kubernetes_sd_configs: targets come from"),
        ({"job_name": "x", "scrape_interval": "1x"}, 'not a valid duration string: "1x"'),
        ({"job_name": "x", "scrape_interval": "5s", "scrape_timeout": "6s"}, "scrape_timeout is longer"),
        ({"job_name": "x", "scrape_protocols": ["Morse"]}, "scrape_protocols"),
        ({"job_name": "x", "basic_auth": {}, "authorization": {}}, "exclude each other"),
        ({"job_name": "x", "metric_relabel_configs": [{"regex": "("}]}, "no regular expression"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, job: dict[str, object], words: str) -> None:
    """What is not known, not served or not possible is refused with the key."""
    file = tmp_path / "gnomon.yaml"
    file.write_text(f"scrape: {{configs: [{job!r}]}}")
    with pytest.raises(InvalidInput, match=r"scrape\.configs") as caught:
        load({}, {}, file)
    assert words in caught.value.what


def test_jobs_in_files_of_their_own(tmp_path: Path) -> None:
    """Files as Prometheus' `scrape_config_files`; two jobs of one name are refused, wherever they stand."""
    (tmp_path / "one.yml").write_text('scrape_configs: [{job_name: a, file_sd_configs: [{files: ["t/*.json"]}]}]')
    settings = ScrapeSettings(files=(tmp_path / "*.yml",))
    (job,) = settings.jobs()
    assert job.file_sd_configs[0].files == (str(tmp_path / "t/*.json"),)
    assert (job.scrape_interval, job.scrape_timeout) == (60_000, 10_000)
    (tmp_path / "two.yml").write_text("scrape_configs: [{job_name: a}]")
    with pytest.raises(InvalidInput, match="two scrape jobs have the name 'a'"):
        settings.jobs()
    (tmp_path / "two.yml").write_text("global: {}")
    with pytest.raises(InvalidInput, match="one key scrape_configs"):
        settings.jobs()


def test_file_discovery(tmp_path: Path) -> None:
    """A file is read again when it changes; while it is broken its last targets stay, and the problem is told."""
    path = tmp_path / "targets.json"
    job = ScrapeConfig.model_validate({"job_name": "a", "file_sd_configs": [{"files": [str(tmp_path / "*.json")]}]})
    discovery = Discovery(job)
    assert discovery.read() == []
    path.write_text('[{"targets": ["x:1"], "labels": {"env": "prod"}}]')
    good = [{"__meta_filepath": str(path), "env": "prod", "__address__": "x:1"}]
    assert discovery.read() == good
    path.write_text('[{"targets": ["x:1"')
    assert discovery.read() == good
    assert str(path) in discovery.problems
    path.write_text("- targets: [y:1, z:1]\n  labels: {port: 9100, spare: true}")
    os.utime(path, (1, 1))
    assert [labels["__address__"] for labels in discovery.read()] == ["y:1", "z:1"]
    assert (discovery.read()[0]["port"], discovery.read()[0]["spare"]) == ("9100", "true")
    assert not discovery.problems
    path.unlink()
    assert discovery.read() == []


def _job(**keys: object) -> ScrapeConfig:
    (job,) = ScrapeSettings.model_validate({"configs": [{"job_name": "shop", **keys}]}).jobs()
    return job


def _target(job: ScrapeConfig, **labels: str) -> Target:
    made = make_target(job, Relabeller(job.relabel_configs), {"__address__": "localhost:80", **labels})
    assert isinstance(made, Target)
    return made


def test_a_target_as_the_api_shows_it() -> None:
    """Every field of Prometheus' JSON; labels that are internal do not show; parameters come from labels too."""
    target = _target(_job(params={"module": ["x", "y"]}), __param_module="z", env="prod", __meta_a="b")
    target.report(1_700_000_000_123_456_789, 0.25, "it broke", "a rule, too")
    said = target.to_dict()
    assert said.pop("discoveredLabels")["__meta_a"] == "b"
    assert said.pop("globalUrl").endswith(":80/metrics?module=x&module=y")
    assert said == {
        "labels": {"env": "prod", "instance": "localhost:80", "job": "shop"},
        "scrapePool": "shop",
        "scrapeUrl": "http://localhost:80/metrics?module=x&module=y",
        "lastError": "it broke",
        "lastWarning": "a rule, too",
        "lastScrape": "2023-11-14T22:13:20.123456789Z",
        "lastScrapeDuration": 0.25,
        "health": "down",
        "scrapeInterval": "1m",
        "scrapeTimeout": "10s",
    }


def test_relabelling_makes_the_target() -> None:
    """Address, path, interval and labels are what the rules leave; a dropped target keeps what was discovered."""
    rules = [
        {"source_labels": ["__meta_port"], "regex": "(.+)", "target_label": "__address__", "replacement": "h:$1"},
        {"target_label": "__metrics_path__", "replacement": "/m"},
        {"target_label": "__scrape_interval__", "replacement": "15s"},
        {"source_labels": ["drop"], "regex": "yes", "action": "drop"},
    ]
    job = _job(relabel_configs=rules)
    target = _target(job, __meta_port="99")
    assert (target.url, target.interval_ms) == ("http://h:99/m", 15_000)
    dropped = make_target(job, Relabeller(job.relabel_configs), {"__address__": "x:1", "drop": "yes"})
    assert isinstance(dropped, DroppedTarget)
    assert dropped.to_dict()["discoveredLabels"]["drop"] == "yes"
    for wrong in ({"__address__": ""}, {"__address__": "a/b"}, {"__scrape_timeout__": "20s"}, {"__scheme__": "ftp"}):
        with pytest.raises(InvalidInput, match="shop"):
            make_target(job, Relabeller(job.relabel_configs), {"__address__": "x:1", **wrong})


def test_targets_are_spread_and_stay_where_they_are() -> None:
    """Turns lie all over the interval, and are the same each time they are asked for."""
    turns = [_target(_job(), instance=f"i{number}").offset_ns() for number in range(200)]
    assert turns == [_target(_job(), instance=f"i{number}").offset_ns() for number in range(200)]
    filled = {turn * 10 // 60_000_000_000 for turn in turns}
    assert filled == set(range(10))


@pytest.mark.parametrize(
    ("exposed", "honour", "expected"),
    [
        ({"job": "own", "x": "y"}, False, {"exported_job": "own", "x": "y", "job": "shop", "env": "prod"}),
        ({"job": "own", "exported_job": "theirs"}, False,
         {"exported_exported_job": "own", "exported_job": "theirs", "job": "shop", "env": "prod"}),
        ({"job": "own", "env": ""}, True, {"job": "own"}),
        ({"env": ""}, False, {"job": "shop", "env": "prod"}),
    ],
)  # fmt: skip
def test_labels_in_conflict(exposed: dict[str, str], honour: bool, expected: dict[str, str]) -> None:
    """The target's labels win, the series' own are kept as `exported_...`; or the series' are honoured."""
    labels = SampleLabels({"job": "shop", "env": "prod"}, _job(honor_labels=honour), Relabeller([]))
    assert labels({"__name__": "m", **exposed}) == {"__name__": "m", **expected}


@pytest.mark.parametrize(
    "limit", [{"label_limit": 2}, {"label_name_length_limit": 7}, {"label_value_length_limit": 3}], ids=str
)
def test_label_limits(limit: dict[str, int]) -> None:
    """A series over a limit fails the scrape, as in Prometheus."""
    labels = SampleLabels({"job": "shop"}, _job(**limit), Relabeller([]))
    with pytest.raises(InvalidInput, match="label"):
        labels({"__name__": "m", "k": "v"})


def test_the_accept_header() -> None:
    """Formats by preference, protobuf first where native histograms are wanted."""
    assert accept(_job().protocols) == (
        "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
        "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
        "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
    )
    assert accept(_job(scrape_native_histograms=True).protocols).startswith("application/vnd.google.protobuf;proto=")
