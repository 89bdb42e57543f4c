"""What the description cannot say: a key that was used with another body is refused, so that each new body gets a new key."""

import uuid

import schemathesis


@schemathesis.hook
def before_call(_context, case, _kwargs):
    key = case.headers.get("Idempotency-Key")
    if key and case.meta is not None and case.meta.generation.mode.is_positive:
        case.headers["Idempotency-Key"] = key[:200] + uuid.uuid4().hex
