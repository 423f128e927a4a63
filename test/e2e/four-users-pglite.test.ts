import { describeFourUsers } from "./four-users.ts";

describeFourUsers("PGlite");
