"""What to do about a verdict and what the device shows: the firmware tables, asked with this session's names."""

from __future__ import annotations

from analyzer.case import Case
from analyzer.diagnosis.context import Context, own_keys
from analyzer.diagnosis.draft import Draft
from analyzer.firmware import RemedyContext, device_shows, remedy
from analyzer.model import Remedy, Role

_PARTICLE_HOSTS = (".spark.io", ".particle.io")


def remedies(case: Case, draft: Draft, context: Context) -> tuple[Remedy, ...]:
    """The repair for this verdict, with this session's ids and files in the commands."""
    algorithm = "rsa" if case.transport == "tcp" else "ec"

    def file(role: Role) -> str | None:
        return next((key.file for key in own_keys(context.ring, case.device_id, role, algorithm)), None)

    def cloud_file(role: Role) -> str | None:
        known = context.cloud_key(case.cloud) if case.transport == "tcp" else None
        if role is Role.CLOUD_PRIVATE and known is not None and known.key.role is role:
            return known.key.file
        return next((key.file for key in context.ring.by_role(role, algorithm)), None)

    stored = context.ring.server_address_for(case.device_id) if case.device_id else None
    cloud_private = cloud_file(Role.CLOUD_PRIVATE)
    return remedy(
        draft.code,
        RemedyContext(
            transport=case.transport,
            device_id=case.device_id,
            device_private=file(Role.DEVICE_PRIVATE),
            device_public=file(Role.DEVICE_PUBLIC),
            cloud_copy=file(Role.CLOUD_COPY),
            cloud_private=cloud_private,
            cloud_public=cloud_file(Role.CLOUD_PUBLIC),
            device_server_key=file(Role.DEVICE_SERVER_KEY),
            host=case.host or case.cloud.address,
            port=case.cloud.port,
            stored_address=stored.host if stored is not None else None,
            device_address=case.device.address,
            is_particle_cloud=_is_particle(case, cloud_private),
            family=getattr(case.decryption, "family", None),
        ),
    )


def _is_particle(case: Case, cloud_private: str | None) -> bool | None:
    if case.host is not None and case.host.endswith(_PARTICLE_HOSTS):
        return True
    return False if cloud_private is not None else None  # nobody outside Particle holds its private key


def shown_by_device(case: Case, draft: Draft) -> tuple[str, ...]:
    """LED pattern and log lines that go with this verdict."""
    family = getattr(case.decryption, "family", None)
    return device_shows(draft.code, case.transport, family=family, how=case.ending.how)
