import { describeFourUsers } from "./four-users.ts";

describeFourUsers("PostgreSQL");
