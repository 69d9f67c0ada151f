"""The whole file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import field_validator

from portside.settings.schema.gateway import Gateway
from portside.settings.schema.health import Health
from portside.settings.schema.http import Http
from portside.settings.schema.listings import Catalog
from portside.settings.schema.log import Log
from portside.settings.schema.section import Section, lazy
from portside.settings.schema.storage import Storage
from portside.settings.schema.validation import Validation
from portside.settings.schema.values import Level

if TYPE_CHECKING:
    from portside.settings.schema.auth import Auth
    from portside.settings.schema.listings import Tags
    from portside.settings.schema.middleware import Middleware
    from portside.settings.schema.notifications import Notifications
    from portside.settings.schema.older import Compatibility, Reporting
    from portside.settings.schema.policy import Policy
    from portside.settings.schema.pull_through import PullThrough
    from portside.settings.schema.redis import Redis
else:
    Auth = lazy("auth", "Auth")
    Compatibility = lazy("older", "Compatibility")
    Middleware = lazy("middleware", "Middleware")
    Notifications = lazy("notifications", "Notifications")
    Policy = lazy("policy", "Policy")
    PullThrough = lazy("pull_through", "PullThrough")
    Redis = lazy("redis", "Redis")
    Reporting = lazy("older", "Reporting")
    Tags = lazy("listings", "Tags")


class Config(Section):
    version: str = "0.1"
    log: Log = Log()
    loglevel: Level | None = None
    storage: Storage = Storage()
    auth: Auth | None = None
    middleware: Middleware | None = None
    reporting: Reporting | None = None
    http: Http = Http()
    notifications: Notifications | None = None
    redis: Redis | None = None
    health: Health = Health()
    proxy: PullThrough | None = None
    compatibility: Compatibility | None = None
    catalog: Catalog = Catalog()
    tags: Tags | None = None
    validation: Validation = Validation()
    policy: Policy | None = None
    gateway: Gateway = Gateway()

    @field_validator("version", mode="before")
    @classmethod
    def _only_version(cls, value: Any) -> str:
        if str(value) != "0.1":
            raise ValueError("the only version of this file is 0.1")
        return "0.1"
