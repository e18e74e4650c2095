# The example shop, for compose.yaml.
FROM python:3.13-slim
WORKDIR /srv/shop
COPY pyproject.toml README.md LICENSE manage.py ./
COPY connectly_tracking connectly_tracking
COPY example_project example_project
RUN pip install --no-cache-dir '.[demo]' 'psycopg[binary]>=3.2' && useradd shop
USER shop
ENV PYTHONUNBUFFERED=1
