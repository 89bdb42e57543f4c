"""The tutorial's way: commit, then publish. What is lost when it dies in between is not its concern."""

import json
import os
import uuid

import redis
from fastapi import FastAPI
from pydantic import BaseModel
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

engine = create_engine(os.environ["DATABASE_URL"])
streams = redis.Redis.from_url(os.environ["REDIS_URL"])
app = FastAPI()


class Item(BaseModel):
    sku: str
    quantity: int
    unit_price: str


class NewOrder(BaseModel):
    customer_id: str
    items: list[Item]


@app.post("/orders", status_code=201)
def create(new: NewOrder) -> dict:
    order = {"order_id": str(uuid.uuid4()), **new.model_dump()}
    with Session(engine) as session:
        session.execute(
            text("insert into tutorial_orders values (:id, :customer, cast(:items as jsonb))"),
            {"id": order["order_id"], "customer": new.customer_id, "items": json.dumps(order["items"])},
        )
        session.commit()
    streams.xadd("tutorial.order", {"type": "OrderCreated", "payload": json.dumps(order)})
    return order
