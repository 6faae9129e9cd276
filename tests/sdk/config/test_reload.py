"""Hot reload: what an edit of the file does to a running service."""

import os
from pathlib import Path

import pytest

from gnomon.config.reload import POLL_S, Apply, Watcher
from gnomon.config.settings import ObservabilityConfig
from gnomon.config.sources import Sources


class Service:
    """A watcher, and what it did."""

    def __init__(self, file: Path | None, apply: Apply | None = None, **environment: str) -> None:
        self.applied, self.warnings = list[ObservabilityConfig](), list[str]()
        sources = Sources({}, environment, file)
        self.watcher = Watcher(sources, sources.load(), apply or self.applied.append, warn=self.warnings.append)
        self.later = self.watcher.tick


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file of settings."""
    path = tmp_path / "gnomon.toml"
    path.write_text('[traces]\nsampler = "ratio"\nsampler_ratio = 0.5\n')
    return path


def test_an_edit_acts(file: Path) -> None:
    """Ratio and level of the edited file are handed over at the next look, within five seconds; once."""
    service = Service(file)
    assert not service.later()
    assert not service.later()
    file.write_text('[traces]\nsampler = "ratio"\nsampler_ratio = 0.25\n[logs]\nlevel = "ERROR"\n')
    assert POLL_S <= 5
    assert service.later()
    assert not service.later()
    (config,) = service.applied
    assert config is service.watcher.config
    assert (config.traces.sampler_ratio, config.logs.level) == (0.25, "ERROR")
    assert config.origins["logs.level"] == f"file {file}"
    assert service.warnings == []


def test_every_live_setting(file: Path) -> None:
    """All that may change does, those of other parts and masking lists too."""
    service = Service(file)
    file.write_text(
        '[traces]\nsampler = "rate_limited"\nsampler_per_second = 5\nkeep_errors = false\nkeep_slower_than_s = "1s"\n'
        '[logs]\nlevels = {"a.b" = "debug"}\nsampling = {debug = 0.5}\n[privacy]\nallowed_keys = ["order"]\n'
        'policies = {email = "keep"}\nsecret_keys = ["dob"]\nallowed_values = ["a"]\nallowed_patterns = ["b"]\n'
        '[stalls]\nthreshold_s = "1s"\n[budget]\nmax_overhead = "3%"\n'
    )
    assert service.later()
    assert service.warnings == []
    assert service.watcher.config == Sources({}, {}, file).load()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[traces]\nsampler_ratio = 7\n", "traces.sampler_ratio = 7"),
        ("[traces]\nsampler_ratio = ", "is not TOML"),
        ("[traces]\nratio = 0.1\n", "traces.ratio"),
    ],
)
def test_a_wrong_edit_is_refused(file: Path, text: str, says: str) -> None:
    """The old settings stay, one warning names the field, and the mended file acts."""
    service = Service(file)
    file.write_text(text)
    assert not service.later()
    assert not service.later()
    (warning,) = service.warnings
    assert says in warning
    assert "the settings stay as they are" in warning
    assert service.watcher.config.traces.sampler_ratio == 0.5
    file.write_text("[traces]\nsampler_ratio = 0.75\n")
    assert service.later()
    assert service.watcher.config.traces.sampler_ratio == 0.75


def test_what_needs_a_restart(file: Path) -> None:
    """It is told and not applied, while the live part of the same edit is."""
    service = Service(file)
    file.write_text(
        '[traces]\nsampler_ratio = 0.1\nsampler = "ratio"\nenabled = false\n[export]\nendpoint = "http://x:1"\n'
    )
    assert service.later()
    assert service.warnings == [f"{file} changes what needs a restart: export.endpoint, traces.enabled"]
    config = service.watcher.config
    assert (config.traces.sampler_ratio, config.traces.enabled, config.export.endpoint) == (0.1, True, None)
    file.write_text(file.read_text().replace("0.1", "0.1 # the same"))
    assert not service.later()
    assert len(service.applied) == 1


def test_the_environment_still_wins(file: Path) -> None:
    """A variable goes before the edited file, as at the start."""
    service = Service(file, GNOMON_TRACES_SAMPLER_RATIO="0.9")
    file.write_text("[traces]\nsampler_ratio = 0.1\nkeep_errors = false\n")
    assert service.later()
    assert service.watcher.config.traces.sampler_ratio == 0.9
    assert service.watcher.config.traces.keep_errors is False


def test_back_to_the_default(file: Path) -> None:
    """A key that is taken out of the file has its default, and says so."""
    service = Service(file)
    file.write_text("")
    assert service.later()
    config = service.watcher.config
    assert config.traces.sampler_ratio == 1.0
    assert config.origins == {}
    assert {one.origin for one in config.explain()} == {"default"}


def test_an_edit_before_the_first_look(file: Path) -> None:
    """What is written between the load and the first tick is not missed."""
    service = Service(file)
    file.write_text("[traces]\nsampler_ratio = 0.3\n")
    assert service.later()


def test_an_atomic_replacement(file: Path) -> None:
    """Another file of the same size and time under the name is noticed."""
    service = Service(file)
    assert not service.later()
    other = file.with_suffix(".new")
    other.write_text(file.read_text().replace("0.5", "0.6"))
    os.utime(other, ns=(file.stat().st_atime_ns, file.stat().st_mtime_ns))
    other.replace(file)
    assert service.later()
    assert service.watcher.config.traces.sampler_ratio == 0.6


def test_a_config_map(tmp_path: Path) -> None:
    """Kubernetes: the file is a link through `..data`, which is swapped for another directory."""
    for number in (1, 2):
        folder = tmp_path / f"..v{number}"
        folder.mkdir()
        (folder / "gnomon.json").write_text(f'{{"traces.sampler_ratio": 0.{number}}}')
    (tmp_path / "..data").symlink_to("..v1")
    (tmp_path / "gnomon.json").symlink_to("..data/gnomon.json")
    service = Service(tmp_path / "gnomon.json")
    assert not service.later()
    (tmp_path / "..tmp").symlink_to("..v2")
    (tmp_path / "..tmp").replace(tmp_path / "..data")
    assert service.later()
    assert service.watcher.config.traces.sampler_ratio == 0.2


def test_the_file_goes_and_comes(file: Path) -> None:
    """While it is away the settings stay, with one warning; when it is back it is read."""
    service = Service(file)
    file.unlink()
    assert not service.later()
    assert not service.later()
    assert service.warnings == [f"{file} is gone; the settings stay as they are"]
    file.write_text("[traces]\nsampler_ratio = 0.3\n")
    assert service.later()


def test_apply_fails(file: Path) -> None:
    """The thread that ticks goes on, the failure is told, and what runs is what is shown."""

    def fails(config: ObservabilityConfig) -> None:
        raise RuntimeError("no")

    service = Service(file, fails)
    file.write_text("[traces]\nsampler_ratio = 0.3\n")
    assert not service.later()
    assert service.warnings == [f"the edit of {file} could not be applied: RuntimeError('no')"]
    assert service.watcher.config.traces.sampler_ratio == 0.5


def test_no_file() -> None:
    """Without a file there is nothing to watch."""
    service = Service(None)
    assert not service.later()
