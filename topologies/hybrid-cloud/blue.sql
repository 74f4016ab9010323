CREATE TABLE company (name text NOT NULL, motto text NOT NULL);
INSERT INTO company VALUES ('Blue Yonder Airlines', 'Above the clouds');
GRANT SELECT ON company TO web;
