CREATE TABLE company (name text NOT NULL, motto text NOT NULL);
INSERT INTO company VALUES ('Red Rock Mining', 'Below the ground');
GRANT SELECT ON company TO web;
