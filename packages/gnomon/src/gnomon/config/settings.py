"""`ObservabilityConfig`: the parts' settings composed, and what can be asked of them."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, NamedTuple, Self

from pydantic import (
    BaseModel,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic.functional_validators import ModelWrapValidatorHandler

from gnomon.config.export import ExportSettings
from gnomon.config.fields import LIVE, Cost, Live, Maybe, Part, Patterns, Policies, Seconds, Switches, Texts, Words
from gnomon.config.mistakes import Given, from_validation, refusal
from gnomon.config.pillars import LogSettings, MetricSettings, TraceSettings


class ServiceSettings(Part):
    """Who is observed."""

    name: str = Field(
        "unknown_service", min_length=1, description="The service's name, as the standard's default has it."
    )
    version: str = Field("", description="Its version.")
    namespace: str = Field("", description="The family of services that it belongs to.")
    environment: str = Field("", description="`production`, `staging` and the like.")
    instance_id: str = Field(
        "",
        description="This process; workers add their pid. Empty: a fresh UUID in every process, forked ones included.",
    )
    resource_attributes: Texts = Field({}, description="Further attributes of everything that is sent.")


class PrivacySettings(Part):
    """What is masked before anything leaves the process."""

    enabled: bool = Field(default=True, description="Personal data and secrets are masked.")
    policies: Live[Policies] = Field(
        {},
        description="Kinds that differ: `email=keep, ip=truncate`. Others are masked, but for IP addresses in texts.",
    )
    secret_keys: Live[Words] = Field((), description="Further attribute keys whose whole value is masked.")
    allowed_keys: Live[Words] = Field((), description="Attribute keys whose values are left alone.")
    allowed_values: Live[Words] = Field((), description="Values that are left alone: `support@example.com`.")
    allowed_patterns: Live[Patterns] = Field(
        (), description="Regular expressions; a value matched whole is left alone."
    )
    pseudonym_key: Annotated[SecretStr, Field(min_length=16)] | None = Field(
        None, description="With a key equal values have equal pseudonyms, and joins survive (secret; 16 bytes or more)."
    )


class StallSettings(Part):
    """The event loop's stalls."""

    enabled: bool = Field(default=True, description="Stalls are noticed, with the stack that made them.")
    threshold_s: Live[Seconds] = Field(
        0.1, description="A blocked loop is a stall from here: people notice a tenth of a second."
    )


class IssueSettings(Part):
    """Exceptions as grouped issues."""

    enabled: bool = Field(default=True, description="Exceptions are grouped.")
    locals: bool = Field(default=True, description="The first of a group in a minute carries local variables, masked.")


class BudgetSettings(Part):
    """What the SDK may cost its host."""

    max_overhead: Live[Maybe[Cost]] = Field(
        None, description="`2%` of a core, or `50us` CPU a request; past it telemetry is thinned. None: no limit."
    )


class Explained(NamedTuple):
    """A setting, its value as it may be shown (secrets as `***`), and where that came from."""

    key: str
    value: str
    origin: str


class ObservabilityConfig(Part):
    """Everything that can be set. Built directly it knows its arguments alone; `sources.load` reads all the sources."""

    service: ServiceSettings = Field(default=ServiceSettings(), description="Who is observed.")
    export: ExportSettings = Field(default=ExportSettings(), description="Where telemetry goes.")
    traces: TraceSettings = Field(default=TraceSettings(), description="Traces.")
    metrics: MetricSettings = Field(default=MetricSettings(), description="Metrics.")
    logs: LogSettings = Field(default=LogSettings(), description="Logs.")
    privacy: PrivacySettings = Field(default=PrivacySettings(), description="Masking.")
    stalls: StallSettings = Field(default=StallSettings(), description="Stalls of the event loop.")
    issues: IssueSettings = Field(default=IssueSettings(), description="Grouped exceptions.")
    budget: BudgetSettings = Field(default=BudgetSettings(), description="The SDK's own cost.")
    integrations: Switches = Field(
        {}, description="Libraries that differ: `redis=off`; `*=off` leaves only those named on. Found ones are on."
    )
    disabled: bool = Field(default=False, description="The SDK does nothing at all.")

    _origins: Mapping[str, str] | None = PrivateAttr(default=None)
    _remarks: tuple[str, ...] = PrivateAttr(default=())

    @model_validator(mode="wrap")
    @classmethod
    def _all_mistakes_at_once(cls, data: Any, handler: ModelWrapValidatorHandler[Self], info: ValidationInfo) -> Self:
        given: Given = info.context or Given()
        try:
            made = handler(data)
        except ValidationError as error:
            raise refusal([*given.mistakes, *from_validation(error, given, [*keys(), *cls.model_fields])]) from None
        if given.mistakes:
            raise refusal(given.mistakes)
        return made

    def located(self, origins: Mapping[str, str], remarks: tuple[str, ...]) -> Self:
        """The same, knowing where its values come from and what was passed over on the way."""
        made = self.model_copy()
        made._origins, made._remarks = origins, remarks  # noqa: SLF001 - another of our own kind
        return made

    @property
    def remarks(self) -> tuple[str, ...]:
        """Standard variables (`OTEL_*`) that were passed over, and why: to be warned of once."""
        return self._remarks

    @property
    def origins(self) -> Mapping[str, str]:
        """Where each value that is not a default comes from, by key."""
        return self._origins or {}

    def explain(self) -> list[Explained]:
        """Every setting in the order of the documentation."""
        return [Explained(key, shown(value), self._origin(key, isset)) for key, value, isset in leaves(self)]

    def _origin(self, key: str, isset: bool) -> str:
        if self._origins is None:  # built directly
            return "argument" if isset else "default"
        return self._origins.get(key, "default")


def keys(model: type[BaseModel] = ObservabilityConfig, prefix: str = "") -> dict[str, bool]:
    """Every key, `traces.sampler_ratio` and the like, and whether it may change while the service runs."""
    found: dict[str, bool] = {}
    for name, info in model.model_fields.items():
        if isinstance(info.default, Part):
            found |= keys(type(info.default), f"{prefix}{name}.")
        else:
            found[prefix + name] = LIVE in info.metadata
    return found


def leaves(part: Part, prefix: str = "") -> Iterator[tuple[str, Any, bool]]:
    """Key, value, and whether it was set, of each setting under a part."""
    for name in type(part).model_fields:
        value = getattr(part, name)
        if isinstance(value, Part):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value, name in part.model_fields_set


def shown(value: Any) -> str:
    """A value as it is written in a variable, secrets as `***`."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={shown(one)}" for key, one in value.items())
    if isinstance(value, tuple):
        return ", ".join(value)
    if isinstance(value, SecretStr):
        return "***"
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
