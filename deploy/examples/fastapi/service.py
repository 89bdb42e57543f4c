"""Customers over HTTP. A customer and its event are one transaction; the relay publishes the event afterwards."""

import os
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import AfterValidator, BaseModel, Field
from sqlalchemy import create_engine, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

# A connection that a restart of Postgres has ended is noticed before it is used.
engine = create_engine(os.environ["DATABASE_URL"], pool_pre_ping=True)


class Base(DeclarativeBase):
    pass


class Customer(Base):
    __tablename__ = "customer"
    customer_id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    name: Mapped[str]
    email: Mapped[str] = mapped_column(unique=True)


class OutboxEvent(Base):
    """A row of the table that `outflow migrate` makes. Its other columns have defaults."""

    __tablename__ = "outbox"
    id: Mapped[int] = mapped_column(primary_key=True)
    event_id: Mapped[uuid.UUID] = mapped_column(default=uuid.uuid4)
    aggregate_type: Mapped[str]
    aggregate_id: Mapped[str]
    event_type: Mapped[str]
    payload: Mapped[dict] = mapped_column(JSONB)
    headers: Mapped[dict] = mapped_column(JSONB, default=dict)


def storable(text: str) -> str:
    """Postgres has no text with U+0000 or half a surrogate pair, neither in `text` nor in `jsonb`: a 422, not a 500."""
    if any(character == "\0" or "\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("must not contain U+0000 or half a surrogate pair")
    return text


Text = Annotated[str, AfterValidator(storable)]


class NewCustomer(BaseModel):
    # Not longer than what an index takes.
    name: Annotated[Text, Field(max_length=200)]
    email: Annotated[Text, Field(max_length=254)]


def session() -> Iterator[Session]:
    with Session(engine) as session:
        yield session


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    Base.metadata.create_all(engine, tables=[Customer.__table__])
    yield


app = FastAPI(lifespan=lifespan)


@app.exception_handler(RequestValidationError)
def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
    """What is wrong, without what was sent: half a surrogate pair or NaN cannot be sent back, and would be a 500."""
    errors = [{"loc": problem["loc"], "msg": problem["msg"]} for problem in error.errors()]
    return JSONResponse({"detail": errors}, status_code=422)


@app.get("/ready")
def ready() -> dict:
    with engine.connect() as connection:
        connection.execute(text("select 1"))
    return {}


@app.post("/customers", status_code=201)
def create_customer(new: NewCustomer, session: Session = Depends(session)) -> dict:
    customer = Customer(customer_id=uuid.uuid4(), name=new.name, email=new.email)
    payload = {"customer_id": str(customer.customer_id), "name": new.name, "email": new.email}
    session.add(customer)
    session.add(
        OutboxEvent(
            aggregate_type="customer",
            aggregate_id=str(customer.customer_id),
            event_type="CustomerCreated",
            payload=payload,
        )
    )
    try:
        session.commit()  # Both or neither.
    except IntegrityError as error:
        raise HTTPException(409, "this email address is taken") from error
    return payload
